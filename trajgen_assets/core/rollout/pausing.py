"""Why no new job may begin now: a person's pause, the day's budget, too little disk or memory. What runs goes on."""

from collections.abc import Callable

from trajgen_assets.core.errors import RefusedError
from trajgen_assets.core.ledger.models import JobRow
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.preflight.machine import low_memory
from trajgen_assets.core.rollout.budget import day_used_up
from trajgen_assets.core.rollout.disk import low_disk
from trajgen_assets.core.rollout.holding import refuse_unless_assigned


def why_none_begins(platform: Platform, dataset: str) -> str | None:
    """What speaks against a new job of a data set now; None if nothing does."""
    pause = platform.ledger.pause_of(dataset)
    if pause is not None:
        return f"{pause.words}; {pause.mend}"
    if (used_up := day_used_up(platform.root, platform.config, platform.ledger)) is not None:
        return used_up.words
    return low_disk(platform.root, platform.config.runtime_info.input.harbor_job.min_free_gb) or low_memory()


def refuse_while_paused(platform: Platform, job: JobRow) -> None:
    """Withdraw an assigned job whose data set a person has paused, so that its tasks are free again.

    Raises:
        RefusedError
    """
    pause = platform.ledger.pause_of(job.dataset)
    if pause is not None:
        platform.ledger.withdraw(job.name, note=pause.words)
        raise RefusedError(pause.words, mend=pause.mend)


def while_wanted(platform: Platform, job: JobRow, wait: Callable[[str], None]) -> Callable[[str], None]:
    """As `wait`, for a job that waits for its turn; it stops to wait when a person no longer wants the job to begin."""

    def look_and_wait(held: str) -> None:
        refuse_unless_assigned(platform, job.name)
        refuse_while_paused(platform, job)
        wait(held)

    return look_and_wait
