"""Jobs whose trajectories are not here any more. What they were accepted for stays: their tasks are done.

The ledger is told first: what is removed half is known to be, and nobody looks for a file that has gone already.
"""

from datetime import datetime

import sqlalchemy as sa

from trajgen_assets.core.errors import LedgerError
from trajgen_assets.core.ledger.models import Removal, TaskStatus
from trajgen_assets.core.ledger.rows import get_job
from trajgen_assets.core.ledger.schema import attempts, removals, tasks

REMOVED = "trajectory removed"


def begin(conn: sa.Connection, now: datetime, job: str, note: str = REMOVED) -> Removal:
    """Note on each attempt of a job that is over, and on each task that it got done, that the trajectory goes.

    Raises:
        LedgerError: the job is not over.
    """
    row = get_job(conn, job)
    if not row.state.is_over:
        raise LedgerError("only what a job that is over left can be removed", where=job, why=f"it is {row.state}")
    standing = conn.execute(sa.select(removals).where(removals.c.job == job)).one_or_none()
    if standing is not None:
        return Removal(*standing)
    mine = attempts.c.job == job
    conn.execute(sa.update(attempts).where(mine).values(note=_noted(attempts.c.note, note)))
    done = (tasks.c.status == TaskStatus.DONE) & tasks.c.position.in_(
        sa.select(attempts.c.task).where(mine, attempts.c.trajectory_path == tasks.c.trajectory_path)
    )
    conn.execute(sa.update(tasks).where(done).values(note=_noted(tasks.c.note, note), updated_at=now))
    begun = Removal(job, note, now, None)
    conn.execute(removals.insert(), {"job": job, "note": note, "begun_at": now, "finished_at": None})
    return begun


def finish(conn: sa.Connection, now: datetime, job: str) -> None:
    """Note that no file is left to be removed."""
    conn.execute(sa.update(removals).where(removals.c.job == job).values(finished_at=now))


def standing(conn: sa.Connection) -> list[Removal]:
    """Every removal, the oldest first."""
    return [Removal(*row) for row in conn.execute(sa.select(removals).order_by(removals.c.begun_at, removals.c.job))]


def _noted(column: sa.Column[str], note: str) -> sa.ColumnElement[str]:
    return sa.case((column.is_(None), note), else_=column + f"; {note}")
