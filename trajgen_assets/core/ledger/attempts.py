"""Settling one trial: an accepted result, another try, or a cap reached."""

from dataclasses import fields
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from trajgen_assets.core.errors import LedgerError, StaleLeaseError
from trajgen_assets.core.keys import TaskKey
from trajgen_assets.core.ledger.jobs import check_lease
from trajgen_assets.core.ledger.models import (
    AttemptKind,
    AttemptOutcome,
    CaptureVerdict,
    Lease,
    RetryPolicy,
    TaskRow,
    TaskStatus,
)
from trajgen_assets.core.ledger.rows import get_task, pending_values, revoked_values, taken_contents, update_task
from trajgen_assets.core.ledger.schema import attempts

_COUNTERS = {
    AttemptKind.COUNTED: ("n_counted", "max_retries"),
    AttemptKind.OUTSIDE: ("n_infra", "max_infra_retries"),
    AttemptKind.CAPTURE: ("n_capture", "capture_retries"),
}
_OUTCOME = tuple(field.name for field in fields(AttemptOutcome))
_INSERT = attempts.insert()
_RECORDED = sa.select(attempts.c.task).where(
    attempts.c.job == sa.bindparam("job"), attempts.c.trial_name == sa.bindparam("trial_name")
)


def record_attempt(
    conn: sa.Connection, now: datetime, lease: Lease, key: TaskKey, outcome: AttemptOutcome, policy: RetryPolicy
) -> TaskRow:
    """Write down how one trial ended and move its task on: done, pending again, or failed.

    Recording the same trial of the same job again changes nothing, so a settlement may be repeated.

    Raises:
        StaleLeaseError: the lease was lost, or the task is not running under it.
        LedgerError: the trial is called graded without a reward, a sound capture and a trajectory.
    """
    check_lease(conn, lease)
    task = get_task(conn, key)
    if _is_recorded(conn, lease.job, task, outcome.trial_name):
        return task
    if task.status is not TaskStatus.RUNNING or task.job != lease.job:
        raise StaleLeaseError(
            "the task is not running in this job", where=key.partition, why=f"{task.status} in {task.job or 'no job'}"
        )
    if outcome.kind is AttemptKind.GRADED:
        _check_graded(key, outcome)
    _insert(conn, now, lease, task, outcome)
    return update_task(conn, task.position, _moved(task, outcome, policy, now))


def _is_recorded(conn: sa.Connection, job: str, task: TaskRow, trial_name: str) -> bool:
    at = conn.scalar(_RECORDED, {"job": job, "trial_name": trial_name})
    if at is not None and at != task.position:
        raise LedgerError(
            "this trial is recorded for another task", where=f"{job}/{trial_name}", why=task.key.partition
        )
    return at is not None


def _check_graded(key: TaskKey, outcome: AttemptOutcome) -> None:
    lacking = [
        label
        for label, there in (
            ("a reward from the verifier", outcome.reward is not None),
            ("a capture that is complete or cut", outcome.capture in (CaptureVerdict.COMPLETE, CaptureVerdict.CUT)),
            ("the path of its trajectory", bool(outcome.trajectory_path)),
        )
        if not there
    ]
    if lacking:
        raise LedgerError(
            f"a trial without {' and '.join(lacking)} is never done", where=f"{key.partition} {outcome.trial_name}"
        )


def _insert(conn: sa.Connection, now: datetime, lease: Lease, task: TaskRow, outcome: AttemptOutcome) -> None:
    row: dict[str, Any] = {name: getattr(outcome, name) for name in _OUTCOME}  # `asdict` copies, with the lock held
    row |= {"task": task.position, "job": lease.job, "ordinal": task.n_attempts + 1, "fence": lease.fence}
    row |= {"accepted": outcome.kind is AttemptKind.GRADED, "recorded_at": now}
    conn.execute(_INSERT, row)


def _moved(task: TaskRow, outcome: AttemptOutcome, policy: RetryPolicy, now: datetime) -> dict[str, Any]:
    """Column values of a task after an attempt."""
    tried = {"n_attempts": task.n_attempts + 1, "last_job": task.job, "last_cause": outcome.cause}
    if outcome.kind is AttemptKind.GRADED:
        result = {"reward": outcome.reward, "trajectory_path": outcome.trajectory_path, "note": outcome.note}
        return _over(TaskStatus.DONE, now) | tried | result
    counted, at_cap = _count(task, outcome.kind, policy)
    if at_cap:
        return _over(TaskStatus.FAILED, now) | tried | counted | {"note": outcome.note or outcome.cause}
    return _free(task, now) | tried | counted


def _count(task: TaskRow, kind: AttemptKind, policy: RetryPolicy) -> tuple[dict[str, int], bool]:
    """The counter that `kind` moves, and whether that was its last allowed attempt."""
    if kind not in _COUNTERS:
        return {}, False
    column, cap = _COUNTERS[kind]
    n = getattr(task, column) + 1
    return {column: n}, n > getattr(policy, cap)


def _free(task: TaskRow, now: datetime) -> dict[str, Any]:
    return pending_values(now) | taken_contents(task) if task.listed else revoked_values(now)


def _over(status: TaskStatus, now: datetime) -> dict[str, Any]:
    return {"status": status, "job": None, "completed_at": now, "updated_at": now}
