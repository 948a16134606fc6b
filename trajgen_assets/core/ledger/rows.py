"""Reading rows as dataclasses, and the steps on a task that several operations share."""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any, TypeVar

import sqlalchemy as sa

from trajgen_assets.core.errors import LedgerError
from trajgen_assets.core.keys import TaskKey
from trajgen_assets.core.ledger.models import JobRow, SkipKind, TaskRow, TaskStatus
from trajgen_assets.core.ledger.schema import jobs, tasks

REVOKED_NOTE = "not in the manifest any more"
DUPLICATE_NOTE = "duplicate of "  # and the partition that it is a copy of
UNSEEN_REASON = "not looked at yet"

T = TypeVar("T")


def chunked(items: Sequence[T], size: int = 500) -> Iterator[Sequence[T]]:
    """Cut `items` into pieces that fit one IN list of any database."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def same_key(key: TaskKey) -> sa.ColumnElement[bool]:
    """The condition that a row of `tasks` is this task."""
    return (tasks.c.campaign == key.campaign) & (tasks.c.dataset == key.dataset) & (tasks.c.task_id == key.task_id)


def is_free(campaign: str, dataset: str, exclude: Collection[str] = ()) -> sa.ColumnElement[bool]:
    """The condition that a new job may take a task: the one rule for what is counted, and for what is assigned."""
    free = (
        (tasks.c.campaign == campaign)
        & (tasks.c.dataset == dataset)
        & (tasks.c.status == TaskStatus.PENDING)
        & tasks.c.eligible
        & tasks.c.listed
        & tasks.c.job.is_(None)
    )
    return free & tasks.c.task_id.not_in(sorted(exclude)) if exclude else free


# Built once: putting a statement together takes longer than running it, and writers hold the lock meanwhile.
_KEY_NAMES = ("campaign", "dataset", "task_id")
_TASK_BY_KEY = sa.select(tasks).where(*(tasks.c[name] == sa.bindparam(f"its_{name}") for name in _KEY_NAMES))
_TASK_BY_POSITION = tasks.c.position == sa.bindparam("at")
_UPDATE_TASK = sa.update(tasks).where(_TASK_BY_POSITION).returning(*tasks.c)
_JOB_BY_NAME = sa.select(jobs).where(jobs.c.name == sa.bindparam("its_name"))
_UPDATE_JOB = sa.update(jobs).where(jobs.c.name == sa.bindparam("its_name"))


def find_task(conn: sa.Connection, key: TaskKey) -> TaskRow | None:
    """The row of one task, or None if it was never registered."""
    names = {"its_campaign": key.campaign, "its_dataset": key.dataset, "its_task_id": key.task_id}
    row = conn.execute(_TASK_BY_KEY, names).one_or_none()
    return None if row is None else TaskRow(*row)


def update_task(conn: sa.Connection, position: int, values: dict[str, Any]) -> TaskRow:
    """Set columns of one task, all to plain values. Returns the row as it is then."""
    return TaskRow(*conn.execute(_UPDATE_TASK, values | {"at": position}).one())


def get_task(conn: sa.Connection, key: TaskKey) -> TaskRow:
    """The row of one task. Raises LedgerError if it was never registered."""
    row = find_task(conn, key)
    if row is None:
        raise LedgerError(
            "no such task in the ledger", where=key.partition, mend="see `trajgen ledger show` for what is registered"
        )
    return row


def find_job(conn: sa.Connection, name: str) -> JobRow | None:
    """The row of one job, or None."""
    row = conn.execute(_JOB_BY_NAME, {"its_name": name}).one_or_none()
    return None if row is None else JobRow(*row)


def get_job(conn: sa.Connection, name: str) -> JobRow:
    """The row of one job. Raises LedgerError if there is none."""
    row = find_job(conn, name)
    if row is None:
        raise LedgerError("no such job in the ledger", where=name, mend="see `trajgen status` for its jobs")
    return row


def update_job(conn: sa.Connection, name: str, **values: Any) -> None:
    """Set columns of one job."""
    conn.execute(_UPDATE_JOB, values | {"its_name": name})


def pending_values(now: datetime) -> dict[str, Any]:
    """Column values that make a task free to be assigned again; its `taken_contents` belong to them."""
    return {
        "status": TaskStatus.PENDING,
        "skip_kind": None,
        "note": None,
        "job": None,
        "completed_at": None,
        "updated_at": now,
    }


def taken_contents(row: TaskRow) -> dict[str, Any]:
    """Column values by which a task that is rolled out again takes the content that its source has now."""
    return {"digest": row.changed_digest or row.digest, "changed_digest": None}


def revoked_values(now: datetime) -> dict[str, Any]:
    """Column values of a task that is pending no longer, because its manifest dropped it."""
    return {
        "status": TaskStatus.SKIPPED,
        "skip_kind": SkipKind.REVOKED,
        "note": REVOKED_NOTE,
        "job": None,
        "completed_at": now,
        "updated_at": now,
    }


def free_tasks(conn: sa.Connection, condition: sa.ColumnElement[bool], now: datetime) -> None:
    """Let go of the tasks that match: back to pending, or revoked if their manifest dropped them meanwhile."""
    conn.execute(sa.update(tasks).where(condition, ~tasks.c.listed).values(revoked_values(now)))
    newest = {"digest": sa.func.coalesce(tasks.c.changed_digest, tasks.c.digest), "changed_digest": None}
    conn.execute(sa.update(tasks).where(condition, tasks.c.listed).values(pending_values(now) | newest))
