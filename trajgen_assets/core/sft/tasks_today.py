"""What the ledger and its people say today of the tasks of a job."""

from trajgen_assets.core.intake.exclusions import exclusions
from trajgen_assets.core.ledger.models import SkipKind, TaskRow, TaskStatus
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.sft.task_today import TaskToday


def tasks_today(platform: Platform, job: str) -> dict[str, TaskToday]:
    """Return what is known today of each task of a job that the ledger knows, by its id.

    Raises:
        ConfigError: a list of excluded tasks cannot be read.
    """
    excluded = {each.task_id for each in exclusions(platform.config, platform.root) if not each.is_consumed}
    rows = platform.ledger.tasks_of_job(job)
    sets = {(row.campaign, row.dataset) for row in rows}
    read = {each for each in sets if platform.ledger.manifest(*each) is not None}
    return {
        row.task_id: TaskToday(
            is_retired=row.task_id in excluded or _is_skipped(row),
            is_listed=row.listed if (row.campaign, row.dataset) in read else None,
            digest=row.changed_digest or row.digest,
        )
        for row in rows
    }


def _is_skipped(row: TaskRow) -> bool:
    return row.status is TaskStatus.SKIPPED and row.skip_kind is SkipKind.PERSON
