"""Which jobs lost their driver, told by lock and lease: neither can be wrong about a process."""

from collections.abc import Iterator
from dataclasses import dataclass

from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.ledger.models import JobRow, JobState
from trajgen_assets.core.paths import Root
from trajgen_assets.core.rollout.slots import live_holders
from trajgen_assets.core.rollout.trial_slots import is_in_sight

RECOVERY = "recovery"
"""The owner of a job that is being settled."""


@dataclass(frozen=True)
class LostJob:
    """A job that the ledger has running and that nothing drives; `is_held` where something holds its slot."""

    row: JobRow
    is_held: bool


def lost_jobs(root: Root, ledger: Ledger) -> Iterator[LostJob]:
    """Find the jobs that lost their driver, oldest first.

    A job that runs holds a job slot, and so do its Harbor and its proxy; when none of them holds it any more,
    they are all gone, whatever killed them. A job whose lease ran out is lost, too, though something holds its slot:
    a driver in good health would have ended it before. So is one that a
    recovery took over and left unfinished. Of a job on another host, whose locks cannot be seen from here, the lease
    alone tells.
    """
    running = ledger.jobs(JobState.RUNNING)
    alive = live_holders(root.locks)  # asked after the jobs: one that was claimed in between is not lost
    for job in running:
        is_held = job.name in alive
        is_gone = is_in_sight(job.host) and not is_held
        if is_gone or job.owner == RECOVERY or job.is_overdue(ledger.now()):
            yield LostJob(job, is_held)
