"""The phase of an installation, and what to do next."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from trajgen_assets.core.counting import count_of
from trajgen_assets.core.ledger.models import Counts, JobState, Pause
from trajgen_assets.core.report.standing.models import Blocker, JobStanding, Phase, Severity
from trajgen_assets.core.rollout.budget import UsedUp


@dataclass(frozen=True)
class Work:
    """What could go on.

    Attributes:
        held: pauses by people, if they hold all that is free.
        used_up: why the day's budget lets nothing begin.
        unread: data sets that are not registered.
        is_automatic: whether jobs begin by themselves.
    """

    n_running: int
    n_free: int
    held: tuple[Pause, ...]
    used_up: UsedUp | None
    unread: tuple[str, ...]
    is_automatic: bool


def phase_of(jobs: Iterable[JobStanding], blockers: Iterable[Blocker], *, n_free: int, all_paused: bool) -> Phase:
    """The one word for it. A job that runs goes before whatever keeps others from beginning."""
    states = {job.state for job in jobs if not job.is_lost}
    if JobState.RUNNING.value in states:
        return Phase.ROLLING_OUT
    if any(each.severity is Severity.ERROR for each in blockers):
        return Phase.BLOCKED
    if JobState.ASSIGNED.value in states:
        return Phase.STARTING
    if all_paused:
        return Phase.PAUSED
    return Phase.READY if n_free else Phase.IDLE


def next_steps(
    phase: Phase, jobs: Iterable[JobStanding], blockers: Iterable[Blocker], counts: Counts, work: Work
) -> Iterator[str]:
    """What a person could do, in the order in which to do it."""
    errors = [each for each in blockers if each.severity is Severity.ERROR]
    if errors:
        yield f"mend first: {errors[0].mend}"
    if any(job.is_lost for job in jobs):
        yield "`trajgen start` settles what the dead driver left, and goes on"
    if not errors:
        yield _of_work(phase, work)
    if counts.failed:
        failed = count_of(counts.failed, "task has", "tasks have")
        yield f"{failed} failed: `trajgen ledger show --status failed`, then `trajgen ledger retry`"
    if counts.waiting:
        waiting = count_of(counts.waiting, "task waits", "tasks wait")
        yield f"{waiting} for a usable folder: `trajgen ledger show --status pending`"


def _of_work(phase: Phase, work: Work) -> str:
    free = count_of(work.n_free, "task is free", "tasks are free")
    if work.n_running:
        return f"{count_of(work.n_running, 'task is', 'tasks are')} being rolled out; `trajgen ui` shows them"
    if phase is Phase.PAUSED:
        return f"{free}{_of_pause(work)}"
    if work.n_free:
        return f"{free}: `trajgen start`"
    if work.unread:
        return f"the tasks of {', '.join(work.unread)} are not registered yet: `trajgen start` registers and rolls out"
    return "nothing is free to roll out"


def _of_pause(work: Work) -> str:
    """What keeps the free tasks back, and what ends that."""
    if work.held:
        return f" and held back by a person: {'; '.join(dict.fromkeys(pause.mend for pause in work.held))}"
    if work.used_up:
        return f": {work.used_up.mend}"
    if work.is_automatic:
        waits = "waits" if work.n_free == 1 else "wait"
        return f" and {waits} for the end of the pause; `trajgen start` does not"
    return ", and nothing begins by itself: `trajgen start` does not wait for the end of the pause"
