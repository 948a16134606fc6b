"""From verified tasks to trajectories: one partition is one task under one campaign."""

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import dagster as dg
from dagster._daemon.monitoring.run_monitoring import count_resume_run_attempts

from resources.instance import ROLLOUT_POOL
from resources.platform import PlatformResource
from trajgen_assets.assets import columns
from trajgen_assets.assets.catalogue import Grain, Group, Words, entry
from trajgen_assets.assets.environments import ASSETS, report_environment
from trajgen_assets.assets.links import partition_page
from trajgen_assets.assets.standing import Input, is_news, log_version, standing_input
from trajgen_assets.core.errors import BusyError, LedgerError, TaskError, TrajgenError
from trajgen_assets.core.intake.staging import stage_task
from trajgen_assets.core.keys import TaskKey
from trajgen_assets.core.ledger.models import AskedBy
from trajgen_assets.core.paths import PROJECT
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.provision.environments import Environment
from trajgen_assets.core.redact import Redactor
from trajgen_assets.core.rollout.batch import assign_batch, stage_for
from trajgen_assets.core.rollout.forcing import take_back_when_ready
from trajgen_assets.core.rollout.job import run_job
from trajgen_assets.core.rollout.record import StagedTask
from trajgen_assets.core.rollout.recover import recover_lost_jobs
from trajgen_assets.core.rollout.trials import TrialEntry
from trajgen_assets.names import (
    HARBOR_ENV,
    JOB_RESULT,
    LITELLM_ENV,
    PREPARED_TASKS,
    ROLLOUT_OP,
    TRAJECTORIES,
    VERIFIED_TASKS,
)
from trajgen_assets.partitions import MAX_TASKS_PER_RUN, show_settled_trials, task_partitions

# Runs in LiteLLM's own environment, so it is named and not imported.
RECORDER = PROJECT / "trajgen_assets" / "guest" / "litellm" / "trajectory_record.py"

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
        entry(
            PREPARED_TASKS,
            Words(
                what="One partition is one verified task, staged and equal to its recorded digest.",
                writes="`<root>/tasks/<data set>/<task id>/`, or nothing where the source is used in place.",
                fails=(
                    "when the folder is incomplete, leads outside itself, or changed since it was registered: the "
                    "ledger says why, and the task stays pending."
                ),
            ),
            deps=[VERIFIED_TASKS],
            skippable=True,
            group=Group.ROLLOUTS,
            grain=Grain.TASK,
            kinds={"file"},
            code=[stage_for, stage_task],
        ),
        entry(
            TRAJECTORIES,
            Words(
                what=(
                    "One partition is one rollout that counts: an agent worked on the task in a sandbox, the verifier "
                    "gave a reward, and every model call is on record. A reward of 0 is a result."
                ),
                writes="`<root>/jobs/<job>/<trial>/`, the record in `agent/litellm-trajectory.jsonl`, one line a call.",
                fails=(
                    "when there is no verifier result, or when the record has a gap; the task is then pending again or "
                    "failed, with its cause in the ledger."
                ),
            ),
            deps=[PREPARED_TASKS, HARBOR_ENV, LITELLM_ENV],
            skippable=True,
            group=Group.ROLLOUTS,
            grain=Grain.TASK,
            kinds={"harbor", "litellm"},
            columns=columns.RECORD,
            code=[run_job, RECORDER],
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
        fate = _roll_out(context, opened, config) if wanted else _Fate(_stage(context, opened))
    if fate.missing or fate.failed:
        metadata = {"without_result": fate.missing, "failed_jobs": fate.failed}
        shown = {name: dg.MetadataValue.json(found) for name, found in metadata.items() if found}
        raise dg.Failure(fate.words, metadata=shown, allow_retries=False)
    yield from ()


@dataclass
class _Fate:
    """What a run came to.

    Attributes:
        missing: tasks without a valid result from a job that ran to its end, as partitions, and why.
        failed: jobs that did not run to their end, or could not begin, and why.
        left: those of them that another run is to begin.
    """

    missing: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    left: set[str] = field(default_factory=set)

    @property
    def words(self) -> str:
        """All failed jobs, and the first of the tasks."""
        words = [f"job {job}: {reason}" for job, reason in self.failed.items()]
        if self.missing:
            shown = "; ".join(f"{partition} ({reason})" for partition, reason in list(self.missing.items())[:N_SHOWN])
            words.append(f"{len(self.missing)} of the batch's tasks have no valid result: {shown}")
        return "; ".join(words)


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
        if missing or is_news(context.instance, PREPARED_TASKS, task.key.partition, task.digest):
            events.staged(task)
    return missing


def _roll_out(context: dg.AssetExecutionContext, platform: Platform, config: RolloutConfig) -> _Fate:
    """Run the jobs of the selected tasks one after another; one that fails keeps none of the others from its turn.

    After an interrupt, what has not begun is free again. What was assigned elsewhere is given up elsewhere.
    """
    fate = _Fate()
    again = _is_again(context)
    if again:
        # What the worker that died has left is done or free before more is assigned, and no tick settles it again.
        recovery = recover_lost_jobs(platform)
        show_settled_trials(context.instance, platform.root, recovery.settled)
    own = [] if config.job else _assign(context, platform, fate, force=config.force and not again)
    try:
        for job in own or filter(None, [config.job]):
            _run(context, platform, job, fate, wait=config.wait)
    finally:
        for job in own:
            if job not in fate.left:
                _give_up(platform, job)
    return fate


def _assign(context: dg.AssetExecutionContext, platform: Platform, fate: _Fate, *, force: bool) -> list[str]:
    """Make a job for each data set and campaign among the selected partitions; say which tasks are not free."""
    jobs = []
    keys = sorted(TaskKey.parse(partition) for partition in context.partition_keys)
    if force:
        keys = _take_back(context, platform, keys, fate)
    for (campaign, dataset), group in groupby(keys, key=lambda key: (key.campaign, key.dataset)):
        ids = [key.task_id for key in group]
        assigned = assign_batch(platform, campaign, dataset, asked_by=AskedBy.CLICK, task_ids=ids)
        for task_id, reason in assigned.left_out.items():
            context.log.warning("%s/%s is left alone: %s", dataset, task_id, reason)
        if assigned.job is not None:  # as long as this run lives, no sensor takes one of its jobs for lost
            platform.ledger.mark_requested(assigned.job.name, assigned.job.launch, context.run.run_id)
            jobs.append(assigned.job.name)
    return jobs


def _take_back(
    context: dg.AssetExecutionContext, platform: Platform, keys: Sequence[TaskKey], fate: _Fate
) -> list[TaskKey]:
    """Take back what is to be rolled out again. Returns the tasks of data sets whose job would not be refused."""
    taken = []
    for _, group in groupby(keys, key=lambda key: (key.campaign, key.dataset)):
        of_one_job = list(group)
        try:
            take_back_when_ready(platform, of_one_job, context.log.info)
            taken += of_one_job
        except TrajgenError as error:
            reason = Redactor.of(platform.config).error(error)
            fate.missing |= {key.partition: f"nothing was taken back: {reason}" for key in of_one_job}
            context.log.error(f"{of_one_job[0].dataset}: nothing was taken back: {reason}")
    return taken


def _is_again(context: dg.AssetExecutionContext) -> bool:
    """Whether a worker of this run, or of the run that it retries, had died: what was forced is done in part then."""
    resumed = count_resume_run_attempts(context.instance, context.run.run_id)
    return "dagster/retry_number" in context.run.tags or resumed > 0


def _run(context: dg.AssetExecutionContext, platform: Platform, job: str, fate: _Fate, *, wait: bool) -> None:
    """Run one job and note what became of it. What Dagster stores of an error holds no secret."""
    events = _EventLog(context, job)
    try:
        outcome = run_job(
            platform, job, owner=context.run.run_id, listener=events, wait_for_slot=events.wait if wait else None
        )
        fate.missing |= outcome.without_result
    except Exception as error:  # noqa: BLE001  whatever it is, the next job has its turn, and Dagster no secret
        fate.failed[job] = Redactor.of(platform.config).error(error)
        if isinstance(error, BusyError) and (whose := _leave(platform, job, context.run.run_id)):
            fate.left.add(job)
            fate.failed[job] = f"{fate.failed[job].rstrip('.')}. {whose}"
        context.log.error(f"{job}: {fate.failed[job]}")


def _leave(platform: Platform, job: str, run_id: str) -> str | None:
    """Leave a job that could not begin for a later launch. Returns what becomes of it; None if it is not to be had."""
    try:
        left = platform.ledger.return_job(job, run_id)
    except (LedgerError, BusyError):  # another run has it, or it is over, or the ledger itself is busy
        return None
    if left.asked_by is AskedBy.CLICK:
        return "The sensor launches it when there is room."
    return "The next tick launches it again, or gives its tasks back."


def _give_up(platform: Platform, job: str) -> None:
    """Let its tasks go if it has not begun, and nobody else is going to launch it."""
    with suppress(LedgerError, BusyError):  # it has begun, or the next tick finds it without a run
        platform.ledger.withdraw(job, note="its run ended before it was claimed")


class _EventLog:
    """Tells Dagster of each task as it happens: the web UI shows a batch fill up."""

    def __init__(self, context: dg.AssetExecutionContext, job: str) -> None:
        self._context = context
        self._job = job
        self._environments: list[Input] = []
        self._prepared: dict[str, Input] = {}

    def phase(self, text: str) -> None:
        self._context.log.info(f"{self._job}: {text}")

    def wait(self, holders: str) -> None:
        self._context.log.info(f"{self._job}: waits for room on this host: {holders}")
        time.sleep(SLOT_LOOK_S)

    def environments_ready(self, environments: Sequence[Environment]) -> None:
        """Report what Dagster does not show yet: without it, what is made in it looks out of date."""
        for each in (each for each in environments if each.name in ASSETS):  # one that a person made is no asset
            report_environment(self._context.instance, each)
            self._environments.append(Input(ASSETS[each.name], each.record.digest))

    def staged(self, task: StagedTask) -> None:
        """Log it also where only `trajectories` was selected: without it, what is made from it looks out of date."""
        metadata = {"digest": task.digest, "path": dg.MetadataValue.path(str(task.folder.folder)), "job": self._job}
        partition = task.key.partition
        log_version(self._context, PREPARED_TASKS, partition, task.digest, metadata)
        if (standing := standing_input(self._context.instance, PREPARED_TASKS, partition)) is not None:
            self._prepared[partition] = standing

    def trial_started(self, task_id: str) -> None:
        self._context.log.debug(f"{self._job}: {task_id} started")

    def trial_ended(self, entry: TrialEntry) -> None:
        if not entry.accepted:
            self._context.log.warning(f"{entry.task_key}: {entry.shortfall}")
        if TRAJECTORIES not in self._context.selected_asset_keys:
            return
        if entry.accepted:
            version, metadata = entry.trajectory_sha256 or "", trajectory_metadata(self._job, entry)
            log_version(self._context, TRAJECTORIES, entry.task_key, version, metadata, self._made_from(entry.task_key))
        else:  # an observation changes no status: it is what the partition's page says beside its red mark
            metadata = failure_metadata(self._job, entry)
            self._context.log_event(dg.AssetObservation(TRAJECTORIES, partition=entry.task_key, metadata=metadata))

    def _made_from(self, partition: str) -> list[Input]:
        prepared = self._prepared.get(partition)
        return [*self._environments, prepared] if prepared is not None else []


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
