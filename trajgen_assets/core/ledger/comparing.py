"""What the ledger says of files and of Dagster, as those who compare them need it."""

from dataclasses import dataclass

import sqlalchemy as sa

from trajgen_assets.core.keys import TaskKey
from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.ledger.models import AttemptKind, TaskStatus
from trajgen_assets.core.ledger.schema import attempts, tasks


@dataclass(frozen=True, slots=True)
class RecordedResult:
    """The result of a task that is done: its trajectory, and that file's digest where an attempt recorded it."""

    key: TaskKey
    trajectory_path: str
    trajectory_sha256: str | None


def recorded_results(ledger: Ledger) -> list[RecordedResult]:
    """Every result that names a trajectory, in order of registration."""
    same_file = (attempts.c.task == tasks.c.position) & (attempts.c.trajectory_path == tasks.c.trajectory_path)
    named = (tasks.c.status == TaskStatus.DONE) & tasks.c.trajectory_path.is_not(None)
    columns = (tasks.c.campaign, tasks.c.dataset, tasks.c.task_id, tasks.c.trajectory_path)
    query = sa.select(*columns, attempts.c.trajectory_sha256).select_from(tasks.outerjoin(attempts, same_file))
    with ledger.store.read() as conn:
        found = conn.execute(query.where(named).order_by(tasks.c.position)).all()
    return [RecordedResult(TaskKey(*row[:3]), row[3], row[4]) for row in found]


def recorded_trials(ledger: Ledger) -> set[tuple[str, str]]:
    """Job and trial of every attempt."""
    with ledger.store.read() as conn:
        return {(job, trial) for job, trial in conn.execute(sa.select(attempts.c.job, attempts.c.trial_name))}


def once_graded(ledger: Ledger) -> set[TaskKey]:
    """Tasks with an attempt that was graded, also those whose result was superseded since."""
    columns = (tasks.c.campaign, tasks.c.dataset, tasks.c.task_id)
    query = sa.select(*columns).join(attempts).where(attempts.c.kind == AttemptKind.GRADED).distinct()
    with ledger.store.read() as conn:
        return {TaskKey(*row) for row in conn.execute(query)}
