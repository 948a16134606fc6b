"""Questions that change nothing."""

import hashlib
from collections.abc import Collection, Sequence
from datetime import datetime

import sqlalchemy as sa

from trajgen_assets.core.errors import LedgerCorruptError
from trajgen_assets.core.keys import TaskKey
from trajgen_assets.core.ledger.models import (
    AttemptRow,
    Counts,
    FreeTasks,
    JobRow,
    JobState,
    ManifestRow,
    SkipKind,
    TaskFilter,
    TaskRow,
    TaskStatus,
)
from trajgen_assets.core.ledger.rows import UNSEEN_REASON, is_free, same_key
from trajgen_assets.core.ledger.schema import attempts, job_tasks, jobs, manifests, removals, tasks
from trajgen_assets.guest.spending import Spent

_IS_PENDING = tasks.c.status == TaskStatus.PENDING
_PARTS: dict[str, sa.ColumnElement[bool]] = {
    **{status.value: tasks.c.status == status for status in TaskStatus},
    "waiting": _IS_PENDING & tasks.c.job.is_(None) & ~tasks.c.eligible,
    "assigned": _IS_PENDING & tasks.c.job.is_not(None),
    "revoked": tasks.c.skip_kind == SkipKind.REVOKED,
    "duplicate": tasks.c.skip_kind == SkipKind.DUPLICATE,
    "imported": tasks.c.imported,
    "changed": tasks.c.changed_digest.is_not(None),
    "unlisted": ~tasks.c.listed,
}


def counts(conn: sa.Connection, campaign: str | None = None, dataset: str | None = None) -> Counts:
    """Count tasks by status, all or those of one campaign or data set."""
    parts = [sa.func.coalesce(sa.func.sum(sa.case((part, 1), else_=0)), 0).label(name) for name, part in _PARTS.items()]
    query = sa.select(sa.func.count().label("registered"), *parts).where(*_matching(TaskFilter(campaign, dataset)))
    return Counts(**conn.execute(query.select_from(tasks)).one()._mapping)


def free(conn: sa.Connection, campaign: str, dataset: str, exclude: Collection[str] = ()) -> FreeTasks:
    """How many tasks of a data set a new job could take, and since when the first of them has waited."""
    query = sa.select(sa.func.count(), sa.func.min(tasks.c.updated_at)).where(is_free(campaign, dataset, exclude))
    return FreeTasks(*conn.execute(query).one())


def n_assigned_since(conn: sa.Connection, campaign: str, moment: datetime) -> int:
    """How many tasks jobs of a campaign were given from `moment` on; what was refused does not count."""
    counted = (jobs.c.campaign == campaign) & (jobs.c.state != JobState.REFUSED) & (jobs.c.assigned_at >= moment)
    return conn.scalar(sa.select(sa.func.coalesce(sa.func.sum(jobs.c.n_tasks), 0)).where(counted)) or 0


def spent_since(conn: sa.Connection, moment: datetime) -> Spent:
    """What the attempts that began at `moment` or later are on record to have taken."""
    summed = [
        sa.func.coalesce(sa.func.sum(column), 0)
        for column in (attempts.c.n_input_tokens, attempts.c.n_output_tokens, attempts.c.cost_usd)
    ]
    n_input, n_output, cost_usd = conn.execute(sa.select(*summed).where(attempts.c.started_at >= moment)).one()
    return Spent(int(n_input + n_output), float(cost_usd))


def rows(conn: sa.Connection, which: TaskFilter, limit: int | None = None, after: int = 0) -> list[TaskRow]:
    """Tasks that match, in order of registration, from behind position `after`."""
    query = sa.select(tasks).where(tasks.c.position > after, *_matching(which)).order_by(tasks.c.position)
    return [TaskRow(*row) for row in conn.execute(query.limit(limit))]


def consumed_ids(conn: sa.Connection, campaign: str, dataset: str | None = None) -> list[str]:
    """Ids that must not be rolled out: done, failed and skipped tasks of a campaign, sorted."""
    over = tasks.c.status.in_([TaskStatus.DONE, TaskStatus.FAILED, TaskStatus.SKIPPED])
    query = sa.select(tasks.c.task_id).where(over, *_matching(TaskFilter(campaign, dataset)))
    return list(conn.scalars(query.distinct().order_by(tasks.c.task_id)))


def attempts_of(conn: sa.Connection, key: TaskKey) -> list[AttemptRow]:
    """Every attempt at a task, first to last."""
    query = sa.select(attempts).join(tasks).where(same_key(key)).order_by(attempts.c.ordinal)
    return [AttemptRow(*row) for row in conn.execute(query)]


def job_attempts(conn: sa.Connection, job_name: str) -> list[tuple[TaskKey, AttemptRow]]:
    """Every attempt within a job, in the order recorded, each with its task."""
    key = (tasks.c.campaign, tasks.c.dataset, tasks.c.task_id)
    query = sa.select(*key, attempts).select_from(attempts.join(tasks)).where(attempts.c.job == job_name)
    found = conn.execute(query.order_by(attempts.c.attempt_id))
    return [(TaskKey(*row[:3]), AttemptRow(*row[3:])) for row in found]


def attempts_between(conn: sa.Connection, after: int, last: int) -> list[AttemptRow]:
    """The attempts at the tasks from behind position `after` up to position `last`: by task, each first to last."""
    query = sa.select(attempts).where(attempts.c.task > after, attempts.c.task <= last)
    return [AttemptRow(*row) for row in conn.execute(query.order_by(attempts.c.task, attempts.c.ordinal))]


def tasks_of_job(conn: sa.Connection, job_name: str) -> list[TaskRow]:
    """The tasks that a job was given, in its order, whatever became of them."""
    query = sa.select(tasks).join(job_tasks, job_tasks.c.task == tasks.c.position).where(job_tasks.c.job == job_name)
    return [TaskRow(*row) for row in conn.execute(query.order_by(job_tasks.c.ordinal))]


def jobs_in(conn: sa.Connection, *states: JobState) -> list[JobRow]:
    """Jobs in any of `states`, or all jobs, oldest first."""
    query = sa.select(jobs).order_by(jobs.c.assigned_at, jobs.c.name)
    return [JobRow(*row) for row in conn.execute(query.where(jobs.c.state.in_(states)) if states else query)]


def jobs_needing_downstream(conn: sa.Connection) -> list[JobRow]:
    """Jobs that are over and whose accepted trials are not what was last turned into results and data."""
    stale = jobs.c.downstream_digest.is_(None) | (jobs.c.downstream_digest != jobs.c.accepted_digest)
    rolled_out = jobs.c.accepted_digest.is_not(None) & (jobs.c.state != JobState.REFUSED)
    is_here = jobs.c.name.not_in(sa.select(removals.c.job))  # of what is not, nothing can be made
    query = sa.select(jobs).where(rolled_out, stale, is_here).order_by(jobs.c.finished_at)
    return [JobRow(*row) for row in conn.execute(query)]


def partitions_to_add(conn: sa.Connection, limit: int) -> list[TaskRow]:
    """Eligible tasks that are not known to be partitions yet, in order of registration."""
    query = sa.select(tasks).where(tasks.c.eligible & ~tasks.c.partitioned).order_by(tasks.c.position)
    return [TaskRow(*row) for row in conn.execute(query.limit(limit))]


def waiting(
    conn: sa.Connection, campaign: str, dataset: str, *, after: int, limit: int, unseen: bool | None = None
) -> list[TaskRow]:
    """Listed tasks of a data set that wait for their folder, in order of registration, from behind `after`.

    Args:
        unseen: False for those whose folder was looked at; True for those whose folder never was, also if they are
            over, since what was imported is neither shown nor compared before.
    """
    here = (tasks.c.campaign == campaign) & (tasks.c.dataset == dataset) & (tasks.c.position > after)
    unusable = here & tasks.c.listed & ~tasks.c.eligible & tasks.c.job.is_(None)
    statuses = [TaskStatus.PENDING, TaskStatus.DONE, TaskStatus.FAILED] if unseen else [TaskStatus.PENDING]
    query = sa.select(tasks).where(unusable, tasks.c.status.in_(statuses)).order_by(tasks.c.position).limit(limit)
    if unseen is not None:
        reason = tasks.c.ineligible_reason
        query = query.where(reason == UNSEEN_REASON if unseen else reason.is_distinct_from(UNSEEN_REASON))
    return [TaskRow(*row) for row in conn.execute(query)]


def fingerprint(conn: sa.Connection) -> str:
    """A text that differs after every change of a task that anybody is shown."""
    query = sa.select(tasks.c.status, sa.func.count(), sa.func.max(sa.type_coerce(tasks.c.updated_at, sa.String)))
    found = conn.execute(query.group_by(tasks.c.status).order_by(tasks.c.status))
    return hashlib.sha256(repr([tuple(row) for row in found]).encode()).hexdigest()


def manifest(conn: sa.Connection, campaign: str, dataset: str) -> ManifestRow | None:
    """The manifest of a data set as last registered under a campaign."""
    query = sa.select(manifests).where(manifests.c.campaign == campaign, manifests.c.dataset == dataset)
    row = conn.execute(query).one_or_none()
    return ManifestRow(*row) if row else None


def check_balance(conn: sa.Connection, where: str) -> Counts:
    """Prove that nothing is lost or doubled.

    Registered is the sum of the statuses; running tasks have a running job; a task that is done has exactly
    one accepted attempt (unless it was imported), any other none; attempts are counted; each manifest's ids
    are registered.

    Raises:
        LedgerCorruptError: one of these does not hold.
    """
    total = counts(conn)
    faults = [f"{text}: {n}" for text, n in _faults(conn) if n]
    if not total.balanced:
        faults.append(f"registered {total.registered} is not the sum of the statuses")
    if faults:
        raise LedgerCorruptError(
            "the ledger does not balance", where=where, why="; ".join(faults), mend="put back a copy that you trust"
        )
    return total


def _faults(conn: sa.Connection) -> Sequence[tuple[str, int]]:
    tried = sa.select(
        attempts.c.task.label("task"),
        sa.func.count().label("n"),
        sa.func.sum(sa.case((attempts.c.accepted, 1), else_=0)).label("n_accepted"),
    ).group_by(attempts.c.task).subquery()  # fmt: skip
    n_accepted = sa.func.coalesce(tried.c.n_accepted, 0)
    is_done = tasks.c.status == TaskStatus.DONE
    with_tries = tasks.outerjoin(tried, tried.c.task == tasks.c.position)
    with_job = tasks.join(jobs, jobs.c.name == tasks.c.job)
    wrong_acceptance = (is_done & ~tasks.c.imported & (n_accepted != 1)) | (~is_done & (n_accepted != 0))
    wrong_job = jobs.c.state.not_in([JobState.ASSIGNED, JobState.RUNNING]) | (
        (tasks.c.status == TaskStatus.RUNNING) & (jobs.c.state != JobState.RUNNING)
    )
    n_listed = (
        sa.select(sa.func.count())
        .where(tasks.c.campaign == manifests.c.campaign, tasks.c.dataset == manifests.c.dataset, tasks.c.listed)
        .scalar_subquery()
    )
    return [
        ("tasks whose accepted attempts do not fit their status", _count(conn, with_tries, wrong_acceptance)),
        (
            "tasks with uncounted attempts",
            _count(conn, with_tries, tasks.c.n_attempts != sa.func.coalesce(tried.c.n, 0)),
        ),
        ("tasks bound to a job that is not theirs to be in", _count(conn, with_job, wrong_job)),
        ("manifests with ids that are not registered", _count(conn, manifests, manifests.c.n_entries > n_listed)),
    ]


def _count(conn: sa.Connection, source: sa.FromClause, condition: sa.ColumnElement[bool]) -> int:
    return conn.scalar(sa.select(sa.func.count()).select_from(source).where(condition)) or 0


def _matching(which: TaskFilter) -> list[sa.ColumnElement[bool]]:
    equal = {"campaign": which.campaign, "dataset": which.dataset, "status": which.status, "last_cause": which.cause}
    conditions = [tasks.c[name] == value for name, value in equal.items() if value is not None]
    if which.job is not None:
        conditions.append(tasks.c.position.in_(sa.select(job_tasks.c.task).where(job_tasks.c.job == which.job)))
    return conditions
