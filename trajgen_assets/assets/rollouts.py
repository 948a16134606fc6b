"""From verified tasks to trajectories: one partition is one task under one campaign."""

import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import groupby
from typing import Any

import dagster as dg

from resources.instance import ROLLOUT_POOL
from resources.platform import PlatformResource
from trajgen_assets.assets.links import partition_page
from trajgen_assets.assets.standing import is_news, log_version
from trajgen_assets.core.errors import BusyError, LedgerError, StaleLeaseError, TaskError
from trajgen_assets.core.keys import TaskKey
from trajgen_assets.core.ledger.models import AskedBy
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.redact import Redactor
from trajgen_assets.core.rollout.batch import assign_batch, stage_for, take_back
from trajgen_assets.core.rollout.job import JobOutcome, run_job
from trajgen_assets.core.rollout.record import StagedTask
from trajgen_assets.core.rollout.trials import TrialEntry
from trajgen_assets.names import JOB_RESULT, PREPARED_TASKS, ROLLOUT_OP, TRAJECTORIES, VERIFIED_TASKS
from trajgen_assets.partitions import MAX_TASKS_PER_RUN, task_partitions

# How often a run that waits for a job slot looks again.
SLOT_LOOK_S = 2.0

# How many tasks without a result the failure of a run names; its metadata has them all.
N_SHOWN = 10


class RolloutConfig(dg.Config):
    """What a run is to roll out. Left alone, it is what was selected in the UI."""

    job: str = ""
    """A job that the ledger has assigned. Empty: make one for each data set and campaign among the partitions."""

    wait: bool = False
    """Wait for room on this host. Otherwise the run fails at once, and a sensor launches the job again."""

    force: bool = False
    """Roll out also tasks that are done, failed or retired. Their earlier attempts stay on record, superseded."""


@dg.multi_asset(
    name=ROLLOUT_OP,
    specs=[
        dg.AssetSpec(
            PREPARED_TASKS,
            deps=[VERIFIED_TASKS],
            skippable=True,
            group_name="rollouts",
            kinds={"file"},
            owners=["team:trajgen"],
            description=(
                "One partition is one verified task, staged under `<root>/tasks/<data set>/<task id>/` and equal to "
                "its recorded digest. It is not materialized when the folder is incomplete, leads outside itself, or "
                "changed since it was registered: the ledger says why, and the task stays pending."
            ),
        ),
        dg.AssetSpec(
            TRAJECTORIES,
            deps=[PREPARED_TASKS],
            skippable=True,
            group_name="rollouts",
            kinds={"harbor", "litellm"},
            owners=["team:trajgen"],
            description=(
                "One partition is one rollout that counts: an agent worked on the task in a sandbox, the verifier gave "
                "a reward, and every model call is on record in `<root>/jobs/<job>/<trial>/agent/"
                "litellm-trajectory.jsonl`. A reward of 0 is a result. It fails when there is no verifier result, or "
                "when the capture has a gap; the task is then pending again or failed, with its cause in the ledger."
            ),
        ),
    ],
    partitions_def=task_partitions,
    can_subset=True,
    backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=MAX_TASKS_PER_RUN),
    pool=ROLLOUT_POOL,
)
def rollout(
    context: dg.AssetExecutionContext, config: RolloutConfig, platform: PlatformResource
) -> Iterator[dg.AssetMaterialization]:
    """Roll out the batch; every event is logged as it happens, so nothing is yielded."""
    with platform.opened() as opened:
        wanted = TRAJECTORIES in context.selected_asset_keys
        missing = _roll_out(context, opened, config) if wanted else _stage(context, opened)
    if missing:
        shown = "; ".join(f"{partition} ({reason})" for partition, reason in list(missing.items())[:N_SHOWN])
        raise dg.Failure(
            f"{len(missing)} of the batch's tasks have no valid result: {shown}",
            metadata={"without_result": dg.MetadataValue.json(missing)},
            allow_retries=False,
        )
    yield from ()


def _stage(context: dg.AssetExecutionContext, platform: Platform) -> dict[str, str]:
    """Only `prepared_tasks` was selected: stage the tasks, and say of those that could not be why.

    A task that is staged as it was before is no news: an event would make its trajectory look out of date. In a run
    that fails it is logged all the same, because Dagster would else call it failed.
    """
    events = _EventLog(context, job="")
    staged, missing = [], {}
    for key in map(TaskKey.parse, context.partition_keys):
        try:
            staged.append(stage_for(platform, platform.ledger.task(key)))
        except TaskError as error:
            missing[key.partition] = Redactor.of(platform.config).error(error)
            context.log.warning("%s: not staged: %s", key.partition, missing[key.partition])
    for task in staged:
        if missing or is_news(context, PREPARED_TASKS, task.key.partition, task.digest):
            events.staged(task)
    return missing


def _roll_out(context: dg.AssetExecutionContext, platform: Platform, config: RolloutConfig) -> dict[str, str]:
    """Run the jobs of the selected tasks. Returns those without a valid result, and why."""
    jobs = [config.job] if config.job else _assign(context, platform, force=config.force and not _is_retry(context))
    missing: dict[str, str] = {}
    try:
        for job in jobs:
            missing |= _run(context, platform, job, wait=config.wait).without_result
    except BusyError as error:
        for job in jobs:
            _return(platform, job, context.run.run_id)
        raise dg.Failure(f"{error} What has not begun is launched by the sensor when there is room.",
                         allow_retries=False) from None  # fmt: skip
    except BaseException:
        for job in () if config.job else jobs:  # what was assigned elsewhere is given up elsewhere
            with suppress(LedgerError):
                platform.ledger.withdraw(job, note="its run ended before it was claimed")
        raise
    return missing


def _assign(context: dg.AssetExecutionContext, platform: Platform, *, force: bool) -> list[str]:
    """Make a job for each data set and campaign among the selected partitions; say which tasks are not free."""
    jobs = []
    keys = sorted(TaskKey.parse(partition) for partition in context.partition_keys)
    if force:
        take_back(platform, keys)
    for (campaign, dataset), group in groupby(keys, key=lambda key: (key.campaign, key.dataset)):
        ids = [key.task_id for key in group]
        assigned = assign_batch(platform, campaign, dataset, asked_by=AskedBy.CLICK, task_ids=ids)
        for task_id, reason in assigned.left_out.items():
            context.log.warning("%s/%s is left alone: %s", dataset, task_id, reason)
        if assigned.job is not None:  # as long as this run lives, no sensor takes one of its jobs for lost
            platform.ledger.mark_requested(assigned.job.name, assigned.job.launch, context.run.run_id)
            jobs.append(assigned.job.name)
    return jobs


def _is_retry(context: dg.AssetExecutionContext) -> bool:
    """Whether Dagster runs again by itself what had died: what a person forced then is done already in part."""
    return "dagster/retry_number" in context.run.tags


def _run(context: dg.AssetExecutionContext, platform: Platform, job: str, *, wait: bool) -> JobOutcome:
    """Run one job; what Dagster stores of an error holds no secret.

    Raises:
        BusyError: there is no room for it now, or somebody else has it.
    """
    events = _EventLog(context, job)
    try:
        return run_job(
            platform, job, owner=context.run.run_id, listener=events, wait_for_slot=events.wait if wait else None
        )
    except BusyError:
        raise
    except Exception as error:  # noqa: BLE001  whatever it is, Dagster would store its text as it stands
        raise dg.Failure(Redactor.of(platform.config).error(error), allow_retries=False) from None


def _return(platform: Platform, job: str, run_id: str) -> None:
    """Leave a job that could not start for a later launch, unless another run has it."""
    with suppress(StaleLeaseError):
        platform.ledger.return_job(job, run_id)


class _EventLog:
    """Tells Dagster of each task as it happens: the web UI shows a batch fill up."""

    def __init__(self, context: dg.AssetExecutionContext, job: str) -> None:
        self._context = context
        self._job = job

    def phase(self, text: str) -> None:
        self._context.log.info(f"{self._job}: {text}")

    def wait(self, holders: str) -> None:
        self._context.log.info(f"{self._job}: waits for room on this host: {holders}")
        time.sleep(SLOT_LOOK_S)

    def staged(self, task: StagedTask) -> None:
        """Log it also where only `trajectories` was selected: without it, what is made from it looks out of date."""
        metadata = {"digest": task.digest, "path": dg.MetadataValue.path(str(task.folder.folder)), "job": self._job}
        log_version(self._context, PREPARED_TASKS, task.key.partition, task.digest, metadata)

    def trial_started(self, task_id: str) -> None:
        self._context.log.debug(f"{self._job}: {task_id} started")

    def trial_ended(self, entry: TrialEntry) -> None:
        if not entry.accepted:
            self._context.log.warning(f"{entry.task_key}: no valid result ({entry.cause}): {entry.note}")
        if TRAJECTORIES not in self._context.selected_asset_keys:
            return
        if entry.accepted:
            version, metadata = entry.trajectory_sha256 or "", trajectory_metadata(self._job, entry)
            log_version(self._context, TRAJECTORIES, entry.task_key, version, metadata)
        else:  # an observation changes no status: it is what the partition's page says beside its red mark
            metadata = failure_metadata(self._job, entry)
            self._context.log_event(dg.AssetObservation(TRAJECTORIES, partition=entry.task_key, metadata=metadata))


def trajectory_metadata(job: str, entry: TrialEntry) -> dict[str, Any]:
    """About five scalars: an event is stored twice, and there is one for each task. An unknown price is not 0."""
    priced = {"cost_usd": entry.cost_usd} if entry.cost_usd else {}
    return priced | {
        "reward": entry.reward,
        "tokens": (entry.n_input_tokens or 0) + (entry.n_output_tokens or 0),
        "duration_s": entry.duration_s or 0.0,
        "capture": entry.capture,
        "trial": f"{job}/{entry.trial_name}",
        "job": dg.MetadataValue.url(partition_page(JOB_RESULT, job)),
    }


def failure_metadata(job: str, entry: TrialEntry) -> dict[str, Any]:
    """Why a trial gave no valid result, and where the task stands now."""
    return {
        "cause": entry.cause,
        "note": entry.note or "",
        "attempt": entry.attempt,
        "task_status": entry.status,
        "trial": f"{job}/{entry.trial_name}",
    }
