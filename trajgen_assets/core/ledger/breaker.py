"""The circuit breaker: when one outside cause fails trial after trial, launches of the data set pause."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa

from trajgen_assets.core.ledger.models import AttemptKind, Breaker, BreakerState, TaskStatus
from trajgen_assets.core.ledger.rows import free_tasks
from trajgen_assets.core.ledger.schema import attempts, breakers, tasks

FIRST_DELAY_S = 60.0
LONGEST_DELAY_S = 1800.0
IN_A_ROW = 5
WINDOW = 20


def tripping_cause(recent: Sequence[tuple[AttemptKind, str | None]]) -> str | None:
    """The outside cause that must stop a job, or None.

    Args:
        recent: kind and cause of the job's attempts, newest last.

    Returns:
        A cause that ended the last five in a row, or more than half of the last twenty.
    """
    causes = [cause if kind is AttemptKind.OUTSIDE else None for kind, cause in recent[-WINDOW:]]
    last = causes[-IN_A_ROW:]
    if len(last) == IN_A_ROW and last[0] is not None and len(set(last)) == 1:
        return last[0]
    frequent = Counter(cause for cause in causes if cause is not None).most_common(1)
    return frequent[0][0] if frequent and frequent[0][1] > WINDOW / 2 else None


def next_delay_s(delay_s: float) -> float:
    """The pause after one of `delay_s` did not help: 60 s at first, twice as long each time, 1800 s at most."""
    return min(LONGEST_DELAY_S, max(FIRST_DELAY_S, 2 * delay_s))


def breaker_state(conn: sa.Connection, dataset: str) -> Breaker:
    """The breaker of a data set; closed if it never tripped."""
    row = conn.execute(sa.select(breakers).where(breakers.c.dataset == dataset)).one_or_none()
    return Breaker(*row) if row else Breaker(dataset, BreakerState.CLOSED, None, None, None, 0.0, 0, None)


def recent_outcomes(conn: sa.Connection, job_name: str) -> list[tuple[AttemptKind, str | None]]:
    """Kind and cause of the last twenty attempts of a job, newest last."""
    query = sa.select(attempts.c.kind, attempts.c.cause).where(attempts.c.job == job_name)
    rows = conn.execute(query.order_by(attempts.c.attempt_id.desc()).limit(WINDOW)).all()
    return [(row.kind, row.cause) for row in reversed(rows)]


def trip(conn: sa.Connection, now: datetime, dataset: str, cause: str, *, job: str | None = None) -> Breaker:
    """Open the breaker, or keep it open for twice as long. What the outage did in `job` counts towards no cap.

    Several jobs that run into one outage are one trip: while the breaker is open and holds, the pause stays as it is.
    """
    before = breaker_state(conn, dataset)
    if before.state is BreakerState.OPEN and before.holds(now):
        if job is not None:
            forgive(conn, now, job, cause)
        return before
    delay_s = next_delay_s(before.delay_s)
    after = Breaker(
        dataset,
        BreakerState.OPEN,
        cause,
        before.opened_at or now,
        now + timedelta(seconds=delay_s),
        delay_s,
        before.n_trips + 1,
        before.alerted_at,
    )
    _put(conn, after)
    if job is not None:
        forgive(conn, now, job, cause)
    return after


def try_probe(conn: sa.Connection, now: datetime, dataset: str, *, within_s: float) -> bool:
    """Whether one probe may go now. True once after each pause; the next only if this one is silent for `within_s`."""
    breaker = breaker_state(conn, dataset)
    if breaker.state is BreakerState.CLOSED or breaker.holds(now):
        return False
    until = now + timedelta(seconds=within_s)
    values = {"state": BreakerState.PROBING, "until": until}
    conn.execute(sa.update(breakers).where(breakers.c.dataset == dataset).values(values))
    return True


def clear(conn: sa.Connection, dataset: str) -> None:
    """Close the breaker: a probe succeeded."""
    _put(conn, Breaker(dataset, BreakerState.CLOSED, None, None, None, 0.0, 0, None))


def _put(conn: sa.Connection, breaker: Breaker) -> None:
    conn.execute(sa.delete(breakers).where(breakers.c.dataset == breaker.dataset))
    values = {column.name: getattr(breaker, column.name) for column in breakers.columns}
    conn.execute(breakers.insert(), values)


def forgive(conn: sa.Connection, now: datetime, job: str, cause: str) -> None:
    """Make the outage's attempts of `job` count towards no cap; tasks that they had failed are pending again."""
    theirs = (attempts.c.job == job) & (attempts.c.cause == cause) & (attempts.c.kind == AttemptKind.OUTSIDE)
    hurt = conn.execute(sa.select(attempts.c.task, sa.func.count()).where(theirs).group_by(attempts.c.task)).all()
    for position, n in hurt:
        here = tasks.c.position == position
        left = sa.case((tasks.c.n_infra > n, tasks.c.n_infra - n), else_=0)  # a person may have set it back meanwhile
        conn.execute(sa.update(tasks).where(here).values(n_infra=left))
        by_outage = (tasks.c.status == TaskStatus.FAILED) & (tasks.c.last_job == job) & (tasks.c.last_cause == cause)
        free_tasks(conn, here & by_outage, now)
    conn.execute(sa.update(attempts).where(theirs).values(kind=AttemptKind.FREE))
