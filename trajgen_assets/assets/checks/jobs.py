"""Checks of a job that is over, made by the step that sums it up; one partition is one job, as of its assets."""

from collections.abc import Callable
from dataclasses import dataclass

import dagster as dg

from trajgen_assets.assets.checks.partitioned import partition_check
from trajgen_assets.assets.standing import target_of
from trajgen_assets.core.paths import JobPaths
from trajgen_assets.core.report.job_checks import BLOCKING, Verdict, capture_complete, error_share, has_valid_result
from trajgen_assets.core.rollout.trials import TrialsFile
from trajgen_assets.names import JOB_RESULT
from trajgen_assets.partitions import job_partitions


@dataclass(frozen=True)
class JobCheck:
    """One check."""

    look: Callable[[JobPaths, TrialsFile], Verdict]
    description: str

    @property
    def blocking(self) -> bool:
        """Whether no training data is made of a job that fails it gravely."""
        return self.look in BLOCKING

    @property
    def name(self) -> str:
        return self.look.__name__

    @property
    def key(self) -> dg.AssetCheckKey:
        return dg.AssetCheckKey(JOB_RESULT, self.name)


JOB_CHECKS = (
    JobCheck(
        has_valid_result,
        "Whether at least one trial was graded and is on record without a gap. Where none is, no data is made.",
    ),
    JobCheck(
        error_share,
        "Whether few trials ended without a valid result by sandbox, model provider, harness, verifier or capture. It "
        "warns above 10 % and fails above 50 %. What a person cancelled counts on no side.",
    ),
    JobCheck(
        capture_complete,
        "Whether every accepted record lies on disk with the digest that was recorded: it fails otherwise, and no "
        "training data is made. It warns of trials that were lost to a gap in their record.",
    ),
)


def job_check_specs() -> list[dg.AssetCheckSpec]:
    """What `job_data` declares."""
    return [
        partition_check(each.name, JOB_RESULT, each.description, job_partitions, blocking=each.blocking)
        for each in JOB_CHECKS
    ]


def check_job(context: dg.AssetExecutionContext, job: str, files: JobPaths, trials: TrialsFile) -> list[str]:
    """Log what each check of a job comes to. Returns why no training data may be made of it.

    All are made, and those that were selected are logged: a click may leave checks out, and blocks all the same.
    """
    why_blocked = []
    for check in JOB_CHECKS:
        verdict = check.look(files, trials)
        if check.blocking and verdict.blocks:
            why_blocked.append(verdict.words)
        if check.key in context.selected_asset_check_keys:
            context.log_event(_evaluation(context, check, job, verdict))
    return why_blocked


def _evaluation(
    context: dg.AssetExecutionContext, check: JobCheck, job: str, verdict: Verdict
) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=JOB_RESULT,
        check_name=check.name,
        passed=verdict.passed,
        severity=dg.AssetCheckSeverity.ERROR if verdict.is_grave else dg.AssetCheckSeverity.WARN,
        description=verdict.words,
        metadata={
            name: dg.MetadataValue.json(each) if isinstance(each, list) else each
            for name, each in verdict.figures.items()
        },
        target_materialization_data=target_of(context.instance, JOB_RESULT, job),
        blocking=check.blocking,
        partition=job,
    )
