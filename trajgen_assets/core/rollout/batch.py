"""From free tasks to a job: chosen, bound to it in the ledger, and staged."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from trajgen_assets.core.errors import LedgerError, TaskError
from trajgen_assets.core.faults import reached
from trajgen_assets.core.intake.exclusions import excluded_ids
from trajgen_assets.core.intake.staging import stage_task
from trajgen_assets.core.intake.task import inspect_task
from trajgen_assets.core.keys import TaskKey
from trajgen_assets.core.ledger.models import AskedBy, Batch, JobRow, TaskRow, TaskStatus
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.rollout.plan import job_name
from trajgen_assets.core.rollout.record import StagedTask

OVER = (TaskStatus.DONE, TaskStatus.FAILED, TaskStatus.SKIPPED)


@dataclass(frozen=True)
class Assigned:
    """A new job, if any task was free, and why each task that was asked for by name was not taken."""

    job: JobRow | None
    left_out: Mapping[str, str] = field(default_factory=dict)


def assign_batch(
    platform: Platform,
    campaign: str,
    dataset: str,
    *,
    asked_by: AskedBy,
    limit: int | None = None,
    task_ids: Sequence[str] | None = None,
) -> Assigned:
    """Bind free tasks of one data set and campaign to a new job: those named, or the first `limit`."""
    chosen = platform.config.campaign(campaign)
    name = job_name(dataset, chosen.agent.scaffold.agent, chosen.agent.version or "", chosen.llm_api.model)
    excluded = sorted(excluded_ids(platform.config, platform.root))
    batch = Batch(campaign, dataset, limit=limit, task_ids=task_ids, exclude=excluded)
    job = platform.ledger.assign(name, batch, asked_by=asked_by)
    taken = {row.task_id for row in platform.ledger.tasks_of_job(name)} if job else set()
    left = [task_id for task_id in task_ids or () if task_id not in taken]
    return Assigned(job, {task_id: why_not_free(platform, TaskKey(campaign, dataset, task_id)) for task_id in left})


def take_back(platform: Platform, keys: Iterable[TaskKey]) -> None:
    """Make tasks that are over pending again. Their earlier attempts stay on record, superseded.

    Whoever is about to roll them out calls `take_back_when_ready`: a job that is refused would leave them without.

    A task that could not be rolled out now keeps what it has: it is excluded, unusable, not listed, or in a job.
    """
    excluded = excluded_ids(platform.config, platform.root)
    for key in keys:
        with suppress(LedgerError):  # whoever assigns it says why it cannot be had
            row = platform.ledger.task(key)
            if row.status in OVER and row.eligible and key.task_id not in excluded:
                platform.ledger.reset(key, force=True)


def why_not_free(platform: Platform, key: TaskKey) -> str:
    """Say in a few words why a task cannot be assigned now."""
    try:
        row = platform.ledger.task(key)
    except LedgerError:
        return "it is not registered: no manifest lists it"
    if row.status is TaskStatus.DONE:
        return f"it is done already (reward {row.reward}, job {row.last_job})"
    if row.status is not TaskStatus.PENDING:
        return f"it is {row.status.value}" + (f": {row.note}" if row.note else f" (cause {row.last_cause})")
    if not row.eligible:
        return f"it cannot be rolled out: {row.ineligible_reason}"
    if key.task_id in excluded_ids(platform.config, platform.root):
        return "it is excluded (excluded_tasks.txt or HARBOR_EXCLUDE_TASKS)"
    return f"it is held by job {row.job}" if row.job else "it was taken meanwhile"


def stage_for(platform: Platform, row: TaskRow) -> StagedTask:
    """Stage one registered task, equal to its recorded digest.

    Raises:
        TaskError: its folder is missing, incomplete, leads outside itself, or has changed.
    """
    source = platform.config.source(row.dataset)
    target = platform.root.tasks / row.dataset / row.task_id
    staged = stage_task(source.folder / row.task_id, target, mode=source.staging, expected_digest=row.digest)
    reached("during_staging")
    folder = inspect_task(staged.folder)
    if not folder.is_usable:
        raise TaskError("the task cannot be used", where=row.key.partition, why=folder.note)
    return StagedTask(row.key, folder, staged.digest)
