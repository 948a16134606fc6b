"""What a person decides about tasks: leave out, try again, take back."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from difflib import get_close_matches
from typing import Any

import sqlalchemy as sa

from trajgen_assets.core.errors import LedgerError, TaskError, UnknownNameError
from trajgen_assets.core.keys import TaskKey
from trajgen_assets.core.ledger.jobs import accepted_digest
from trajgen_assets.core.ledger.models import SkipKind, TaskRow, TaskStatus
from trajgen_assets.core.ledger.rows import find_task, get_task, pending_values, taken_contents, update_job, update_task
from trajgen_assets.core.ledger.schema import attempts, tasks

SHOWN = "see `trajgen ledger show` for what is registered"


def named(conn: sa.Connection, names: Sequence[str], campaign: str) -> list[TaskRow]:
    """The tasks that a person names, each once: by partition key, or by an id that one data set of `campaign` has.

    An id may bring its own campaign, as in `ID@CAMPAIGN`.

    Raises:
        UnknownNameError: a name is unknown, or several data sets have the id.
    """
    found = [_by_key(conn, name) if "/" in name else _by_id(conn, name, campaign) for name in names]
    return list({row.position: row for row in found}.values())


def _by_key(conn: sa.Connection, name: str) -> TaskRow:
    try:
        row = find_task(conn, TaskKey.parse(name))
    except TaskError as error:
        raise UnknownNameError(error.what, where=error.where, why=error.why, mend=error.mend) from error
    if row is None:
        raise UnknownNameError("no such task in the ledger", where=name, mend=SHOWN)
    return row


def _by_id(conn: sa.Connection, name: str, campaign: str) -> TaskRow:
    task_id, _, its_own = name.partition("@")
    campaign = its_own or campaign
    query = sa.select(tasks).where(tasks.c.task_id == task_id).order_by(tasks.c.position)
    everywhere = [TaskRow(*row) for row in conn.execute(query)]
    rows = [row for row in everywhere if row.campaign == campaign]
    if len(rows) == 1:
        return rows[0]
    if rows:
        several = " or ".join(row.key.partition for row in rows)
        raise UnknownNameError("several data sets have this task", where=task_id, mend=f"write {several}")
    if everywhere:
        elsewhere = " or ".join(row.key.partition for row in everywhere)
        raise UnknownNameError(f"campaign {campaign} does not have this task", where=task_id, mend=f"write {elsewhere}")
    known = conn.scalars(sa.select(tasks.c.task_id).where(tasks.c.campaign == campaign))
    near = get_close_matches(task_id, list(known), n=1)
    raise UnknownNameError(
        f"no task of campaign {campaign} has this id",
        where=task_id,
        why=f"the nearest is {near[0]}" if near else None,
        mend=SHOWN,
    )


def skip(conn: sa.Connection, now: datetime, keys: Iterable[TaskKey], reason: str) -> list[TaskRow]:
    """Leave tasks out for good. Returns those that this changed.

    What is running or done stays as it is, and so does what was never registered: an exclusion list may
    name ids of any age.
    """
    rows = [row for row in _found(conn, keys) if may_be_skipped(row, reason)]
    values: dict[str, Any] = {"status": TaskStatus.SKIPPED, "skip_kind": SkipKind.PERSON, "note": reason, "job": None}
    values |= {"completed_at": now, "updated_at": now}
    return [update_task(conn, row.position, values) for row in rows]


def retry(
    conn: sa.Connection, now: datetime, keys: Iterable[TaskKey], memory_multiplier: float | None = None
) -> list[TaskRow]:
    """Let failed tasks that are still listed be tried again with all their retries. Returns those that this changed."""
    rows = [row for row in _found(conn, keys) if may_be_retried(row)]
    more = {} if memory_multiplier is None else {"memory_multiplier": memory_multiplier}
    return [update_task(conn, row.position, fresh_values(row, now) | more) for row in rows]


def reset(conn: sa.Connection, now: datetime, key: TaskKey, *, force: bool = False) -> TaskRow:
    """Make a task pending again, whatever became of it. The earlier attempts stay on record.

    With `force` also a task that is done: its accepted attempt is superseded, and the job that it belonged
    to gets a new digest of its accepted trials.

    Raises:
        LedgerError: it is unknown, running, not listed any more, or done and `force` is not set.
    """
    row = get_task(conn, key)
    check_reset(row, force=force)
    if row.status is TaskStatus.DONE:
        _supersede(conn, row, now)
    return update_task(conn, row.position, fresh_values(row, now))


def _found(conn: sa.Connection, keys: Iterable[TaskKey]) -> list[TaskRow]:
    rows = (find_task(conn, key) for key in keys)
    return [row for row in rows if row is not None]


def may_be_skipped(row: TaskRow, reason: str) -> bool:
    """Whether `skip` for this reason would change the task."""
    if row.status is TaskStatus.SKIPPED:
        return (row.skip_kind, row.note) != (SkipKind.PERSON, reason)
    return row.status in (TaskStatus.PENDING, TaskStatus.FAILED)


def may_be_retried(row: TaskRow) -> bool:
    """Whether `retry` would change the task."""
    return row.status is TaskStatus.FAILED and row.listed


def fresh_values(row: TaskRow, now: datetime) -> dict[str, Any]:
    """Column values of a task that begins anew, with all its retries and the content that its source has now."""
    counters = {"n_counted": 0, "n_infra": 0, "n_capture": 0}
    no_result = {"reward": None, "trajectory_path": None, "imported": False}
    return pending_values(now) | taken_contents(row) | counters | no_result


def check_reset(row: TaskRow, *, force: bool) -> None:
    """Refuse to reset a task that is running, not listed any more, or done and not to be forced.

    Raises:
        LedgerError
    """
    where = row.key.partition
    if row.job is not None:
        mend = "wait for its job, or stop it"
        raise LedgerError("a job holds the task", where=where, why=f"{row.job}, {row.status}", mend=mend)
    if not row.listed:
        raise LedgerError("the task is not in its manifest any more", where=where, mend="list it again first")
    if row.status is TaskStatus.DONE and not force:
        raise LedgerError("the task is done", where=where, mend="use --force to roll it out again")


def _supersede(conn: sa.Connection, row: TaskRow, now: datetime) -> None:
    mine = (attempts.c.task == row.position) & attempts.c.accepted
    owners = list(conn.scalars(sa.select(attempts.c.job).where(mine)))
    note = f"superseded by force at {now.isoformat(timespec='seconds')}"
    conn.execute(sa.update(attempts).where(mine).values(accepted=False, note=note))
    for job in owners:
        update_job(conn, job, accepted_digest=accepted_digest(conn, job))
