"""What a person wants of jobs that nobody watches: one is to stop, no new ones are to begin.

A request lies here until whoever drives the job looks, whatever process and whatever user interface that is.
"""

from datetime import datetime

import sqlalchemy as sa

from trajgen_assets.core.clock import stamp
from trajgen_assets.core.errors import LedgerError
from trajgen_assets.core.ledger.models import JobState, Pause, StopRequest
from trajgen_assets.core.ledger.rows import get_job
from trajgen_assets.core.ledger.schema import meta, pauses, stop_requests

WRONG_SINCE = "wrong since: "

EVERY = ""
"""Stands for every data set."""


def ask_to_stop(conn: sa.Connection, now: datetime, job_name: str, asked_by: str, *, drain: bool) -> StopRequest:
    """Ask the driver of a running job to end it. To stop goes before to drain, whichever was asked first.

    Raises:
        LedgerError: it does not run.
    """
    state = get_job(conn, job_name).state
    if state is not JobState.RUNNING:
        raise LedgerError("only a job that runs can be asked to stop", where=job_name, why=f"it is {state}")
    standing = stop_request(conn, job_name)
    if standing is not None and (drain or not standing.drain):
        return standing
    conn.execute(sa.delete(stop_requests).where(stop_requests.c.job == job_name))
    row = {"job": job_name, "drain": drain, "asked_by": asked_by, "asked_at": now}
    conn.execute(stop_requests.insert(), row)
    return StopRequest(job_name, drain, asked_by, now)


def stop_request(conn: sa.Connection, job_name: str) -> StopRequest | None:
    """What was asked of a job; it stays on record when the job is over."""
    row = conn.execute(sa.select(stop_requests).where(stop_requests.c.job == job_name)).one_or_none()
    return StopRequest(*row) if row else None


def pause(conn: sa.Connection, now: datetime, dataset: str, paused_by: str, reason: str) -> Pause:
    """Let no new job of a data set begin, or of any (`EVERY`). One that stands keeps its time and gets the new reason.

    Returns:
        The pause as it stands now.
    """
    standing = conn.execute(sa.select(pauses).where(pauses.c.dataset == dataset)).one_or_none()
    if standing is not None:
        kept = Pause(*standing)
        if not reason or reason == kept.reason:
            return kept
        now = kept.paused_at
        conn.execute(sa.delete(pauses).where(pauses.c.dataset == dataset))
    row = {"dataset": dataset, "paused_by": paused_by, "paused_at": now, "reason": reason}
    conn.execute(pauses.insert(), row)
    return Pause(dataset, paused_by, now, reason)


def resume(conn: sa.Connection, dataset: str) -> list[Pause]:
    """Lift the pause of a data set, or with `EVERY` all pauses. Returns those that were lifted."""
    lifted = [each for each in standing_pauses(conn) if dataset in (EVERY, each.dataset)]
    conn.execute(sa.delete(pauses).where(pauses.c.dataset.in_([each.dataset for each in lifted])))
    return lifted


def standing_pauses(conn: sa.Connection) -> list[Pause]:
    """Every pause that a person made and nobody has lifted, the oldest first."""
    return [Pause(*row) for row in conn.execute(sa.select(pauses).order_by(pauses.c.paused_at, pauses.c.dataset))]


def wrong_since(conn: sa.Connection, what: str) -> datetime | None:
    """Since when something is known to be wrong; None if it is not."""
    noted = conn.scalar(sa.select(meta.c.value).where(meta.c.key == WRONG_SINCE + what))
    return datetime.fromisoformat(noted) if noted else None


def note_wrong(conn: sa.Connection, now: datetime, what: str) -> datetime:
    """Note that something is wrong from now on, if it was not. Returns since when it is."""
    since = wrong_since(conn, what)
    if since is None:
        conn.execute(meta.insert(), {"key": WRONG_SINCE + what, "value": stamp(now)})
    return since or now


def note_right(conn: sa.Connection, what: str) -> None:
    """Forget that something was wrong."""
    conn.execute(sa.delete(meta).where(meta.c.key == WRONG_SINCE + what))
