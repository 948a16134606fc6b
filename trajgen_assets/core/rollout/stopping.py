"""Jobs that stop before their end: a person asked for it in the ledger, or the proxy notes that a budget is used up.

To stop ends the trials that run; to drain lets them end and starts no more. Before the first trial both are the same.
"""

import time

from trajgen_assets.core.counting import count_of
from trajgen_assets.core.errors import EndpointError, StoppedError
from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.ledger.models import StopRequest
from trajgen_assets.core.paths import JobPaths
from trajgen_assets.core.rollout.budget_notes import refusal_of_job
from trajgen_assets.core.rollout.causes import Cause
from trajgen_assets.core.rollout.record import JobRecord

# A person waits for what was asked for; a look is one read of a row.
LOOK_EVERY_S = 1.0


def end_if_asked(ledger: Ledger, job: str) -> None:
    """Before any trial has begun: end the job if a person asked for it.

    Raises:
        StoppedError
    """
    request = ledger.stop_request(job)
    if request is not None:
        raise _stopped(request, "before its first trial")


def refuse_if_used_up(files: JobPaths, *, where: str) -> None:
    """After the first reply: the next job would have a new budget, and so on, one job after another.

    Args:
        files: those of the job.
        where: what gave the reply.

    Raises:
        EndpointError: the reply used up the job's budget, or did not tell what it took.
    """
    refusal = refusal_of_job(files)
    if refusal is not None and refusal.is_of_job:
        what, mend = "no trial can begin within the budget", "raise runtime_info.input.budget, or leave it out"
        raise EndpointError(what, where=where, why=refusal.text, mend=mend)


class StopLooks:
    """Looks, while trials run, whether the job is to stop or to drain."""

    def __init__(self, record: JobRecord) -> None:
        self._record = record
        self._last_look = -LOOK_EVERY_S

    def look(self) -> None:
        """Obey what was asked since the last look.

        Raises:
            StoppedError: to stop was asked for.
        """
        moment = time.monotonic()
        if moment - self._last_look < LOOK_EVERY_S:
            return
        self._last_look = moment
        self._look_at_budget()
        request = self._record.ledger.stop_request(self._record.lease.job)
        if request is None:
            return
        if not request.drain:
            raise _stopped(request)
        if self._record.drained_for is None:
            self._record.drained_for = request
            self._record.start_no_more()
            self._record.listener.phase(f"starting no more trials, as {request.asked_by} asked")

    def _look_at_budget(self) -> None:
        """The proxy answers no trial any more and lets none begin; what needs no model goes on to its end."""
        record = self._record
        if record.over_budget is None and (refusal := refusal_of_job(record.files)) is not None:
            record.over_budget = refusal
            record.start_no_more()
            record.listener.phase(f"starting no more trials: {refusal.text}")


def n_left_over_budget(record: JobRecord) -> int:
    """How many tasks a job has left because its budget, or that of the day, was used up."""
    if refusal_of_job(record.files) is None:
        return 0
    return sum(entry.cause in (Cause.CANCELLED, Cause.BUDGET) for entry in record.entries.values())


def end_if_over_budget(record: JobRecord) -> None:
    """After the last trial of a job whose budget, or that of the day, was used up: say what it left.

    A job that got no result for its whole budget pauses its data set: the next one would spend as much, and so on.

    Raises:
        StoppedError: it left tasks without a result.
    """
    refusal, n_left = refusal_of_job(record.files), n_left_over_budget(record)
    if refusal is not None and n_left:
        if refusal.is_of_job and not any(entry.accepted for entry in record.entries.values()):
            record.ledger.trip(record.header.dataset, Cause.BUDGET, job=record.lease.job)
        are = "is" if n_left == 1 else "are"
        why = f"{n_left} of its {count_of(len(record.tasks), 'task')} {are} pending again"
        raise StoppedError(f"stopped: {refusal.text}", why=why)


def end_if_drained(record: JobRecord) -> None:
    """After the last trial of a job that drained: say what it left.

    Raises:
        StoppedError: it left tasks that it had not begun.
    """
    left = [entry for entry in record.entries.values() if entry.cause == Cause.CANCELLED]
    if record.drained_for is not None and left:
        were = "was" if len(left) == 1 else "were"
        raise _stopped(record.drained_for, f"{len(left)} of its {count_of(len(record.tasks), 'task')} {were} not begun")


def _stopped(request: StopRequest, more: str | None = None) -> StoppedError:
    done = "drained" if request.drain else "stopped"
    return StoppedError(f"{done}, as {request.asked_by} asked at {request.asked_at:%H:%M:%S} UTC", why=more)
