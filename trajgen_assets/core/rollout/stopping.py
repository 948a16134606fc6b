"""Jobs that a person asks to stop: the request lies in the ledger, and whoever drives the job looks for it.

To stop ends the trials that run; to drain lets them end and starts no more. Before the first trial both are the same.
"""

import time

from trajgen_assets.core.counting import count_of
from trajgen_assets.core.errors import StoppedError
from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.ledger.models import StopRequest
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
        request = self._record.ledger.stop_request(self._record.lease.job)
        if request is None:
            return
        if not request.drain:
            raise _stopped(request)
        if self._record.drained_for is None:
            self._record.drained_for = request
            self._record.start_no_more()
            self._record.listener.phase(f"starting no more trials, as {request.asked_by} asked")


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
