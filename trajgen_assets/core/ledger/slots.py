"""Trial slots: how many trials each job may run at once on a host, so that together they never exceed its limit."""

from datetime import datetime

import sqlalchemy as sa

from trajgen_assets.core.ledger.models import JobState
from trajgen_assets.core.ledger.schema import jobs, trial_slots


def acquire_slots(conn: sa.Connection, now: datetime, host: str, job: str, *, want: int, max_trials: int) -> int:
    """Set what `job` holds on `host` to as much of `want` as is free. Returns what it holds now.

    Wanting less than it holds gives the rest back. Other jobs keep theirs, even if `max_trials` was lowered.
    """
    on_host = trial_slots.c.host == host
    n_others = _total(conn, on_host & (trial_slots.c.job != job))
    n = max(0, min(want, max_trials - n_others))
    conn.execute(sa.delete(trial_slots).where(on_host, trial_slots.c.job == job))
    if n:
        conn.execute(trial_slots.insert(), {"host": host, "job": job, "n": n, "updated_at": now})
    return n


def release_slots(conn: sa.Connection, job: str) -> None:
    """Give back all that a job holds, on every host."""
    conn.execute(sa.delete(trial_slots).where(trial_slots.c.job == job))


def release_unclaimed(conn: sa.Connection, job: str) -> None:
    """Give back what a job holds that nobody has claimed; of one that runs or ended its claim decides."""
    if conn.scalar(sa.select(jobs.c.state).where(jobs.c.name == job)) == JobState.ASSIGNED:
        release_slots(conn, job)


def slots_in_use(conn: sa.Connection, host: str, *, claimed: bool = False) -> int:
    """How many trial slots of `host` are lent out: all, or those of jobs that run."""
    on_host = trial_slots.c.host == host
    running = sa.select(jobs.c.name).where(jobs.c.state == JobState.RUNNING)
    return _total(conn, on_host & trial_slots.c.job.in_(running) if claimed else on_host)


def _total(conn: sa.Connection, condition: sa.ColumnElement[bool]) -> int:
    return conn.scalar(sa.select(sa.func.coalesce(sa.func.sum(trial_slots.c.n), 0)).where(condition)) or 0
