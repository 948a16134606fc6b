"""Jobs: assigned to tasks, claimed under a lease, renewed, released. Each function is one transaction's work."""

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from trajgen_assets.core.errors import BusyError, LedgerError, StaleLeaseError
from trajgen_assets.core.keys import TaskKey
from trajgen_assets.core.ledger.models import AskedBy, Batch, JobRow, JobState, Lease, TaskRow, TaskStatus
from trajgen_assets.core.ledger.rows import (
    chunked,
    find_job,
    free_tasks,
    get_job,
    get_task,
    is_free,
    update_job,
    update_task,
)
from trajgen_assets.core.ledger.schema import attempts, job_tasks, jobs, tasks
from trajgen_assets.core.ledger.slots import release_slots


def assign(
    conn: sa.Connection,
    now: datetime,
    job_name: str,
    batch: Batch,
    *,
    config_digest: str | None = None,
    asked_by: AskedBy | None = None,
) -> JobRow | None:
    """Bind free tasks to a new job, in the order in which they were registered.

    Returns:
        The job, or None, and no job is made, when no task of the batch is free.

    Raises:
        LedgerError: a job of that name exists, or the batch names neither a limit nor tasks.
    """
    if batch.limit is None and batch.task_ids is None:
        raise LedgerError("a batch needs a limit or task ids", where=job_name)
    if find_job(conn, job_name) is not None:
        raise LedgerError("there is a job of that name already", where=job_name, mend="choose another name")
    positions = _free_positions(conn, batch)
    if not positions:
        return None
    origin = {"config_digest": config_digest, "asked_by": asked_by}
    _insert_job(conn, now, job_name, batch, len(positions), origin)
    _bind(conn, now, job_name, positions)
    return get_job(conn, job_name)


def claim(
    conn: sa.Connection,
    now: datetime,
    job_name: str,
    owner: str,
    *,
    ttl_s: float,
    run_id: str | None = None,
    host: str | None = None,
) -> Lease:
    """Take the lease of an assigned job and turn its tasks to running; those dropped meanwhile are let go.

    A running job is taken over only from the same owner or after its lease ran out.

    Raises:
        BusyError: another owner holds a lease that has not run out.
        LedgerError: the job is unknown or over.
    """
    job = get_job(conn, job_name)
    _check_claimable(job, owner, now)
    lease = _new_lease(conn, now, job, owner, ttl_s)
    started = {"run_id": run_id or job.run_id, "host": host or job.host, "started_at": job.started_at or now}
    update_job(conn, job_name, **started)
    _start_tasks(conn, now, job_name)
    return lease


def seize(conn: sa.Connection, now: datetime, job: JobRow, owner: str, *, ttl_s: float) -> Lease:
    """Take the lease of a running job whose owner is known to be gone, to settle it.

    Raises:
        StaleLeaseError: someone else took it, or ended it, since `job` was read.
    """
    current = get_job(conn, job.name)
    if current.state is not JobState.RUNNING or current.fence != job.fence:
        raise StaleLeaseError("the job changed hands meanwhile", where=job.name, mend="look at it again")
    return _new_lease(conn, now, current, owner, ttl_s)


def renew(conn: sa.Connection, now: datetime, lease: Lease, *, ttl_s: float) -> Lease:
    """Push the end of the lease to `ttl_s` from now."""
    check_lease(conn, lease)
    expires_at = now + timedelta(seconds=ttl_s)
    update_job(conn, lease.job, lease_expires_at=expires_at)
    return Lease(lease.job, lease.owner, lease.fence, expires_at)


def check_lease(conn: sa.Connection, lease: Lease) -> None:
    """Refuse a lease that was taken over or ended. One that only ran out still holds: nobody else has it.

    Raises:
        StaleLeaseError
    """
    row = find_job(conn, lease.job)
    if row is None or row.state is not JobState.RUNNING or row.fence != lease.fence:
        raise StaleLeaseError(
            "the lease of this job is no longer held",
            where=f"{lease.job}, owner {lease.owner}, fence {lease.fence}",
            why="the job was taken over or ended" if row else "there is no such job",
            mend="stop: whatever this process still does for the job is not recorded",
        )


def release(conn: sa.Connection, now: datetime, lease: Lease, state: JobState, note: str | None = None) -> JobRow:
    """End a job: its unfinished tasks go back to pending, its slots are freed, its accepted trials are sealed.

    Raises:
        StaleLeaseError, LedgerError: `state` is not one that ends a job.
    """
    if not state.is_over:
        raise LedgerError(f"{state} does not end a job", where=lease.job)
    check_lease(conn, lease)
    return _end(conn, now, lease.job, state, note, accepted_digest=accepted_digest(conn, lease.job))


def give_back(conn: sa.Connection, now: datetime, lease: Lease, key: TaskKey, reason: str) -> TaskRow:
    """Let go of one task of a running job, because its folder cannot be used: it waits until that was looked at again.

    Raises:
        StaleLeaseError: the lease was lost, or the task is not running under it.
    """
    check_lease(conn, lease)
    task = get_task(conn, key)
    if task.status is not TaskStatus.RUNNING or task.job != lease.job:
        raise StaleLeaseError("the task is not running in this job", where=key.partition, why=f"it is {task.status}")
    free_tasks(conn, tasks.c.position == task.position, now)
    return update_task(conn, task.position, {"eligible": False, "ineligible_reason": reason})


def withdraw(conn: sa.Connection, now: datetime, job_name: str, note: str) -> JobRow:
    """End a job that was assigned and never claimed; its tasks are free again.

    Raises:
        LedgerError: it is not assigned.
    """
    if get_job(conn, job_name).state is not JobState.ASSIGNED:
        raise LedgerError("only a job that has not started can be withdrawn", where=job_name)
    return _end(conn, now, job_name, JobState.REFUSED, note)


def return_job(conn: sa.Connection, job_name: str, owner: str, note: str | None = None) -> JobRow:
    """Give an assigned job its next launch number: this run could not begin it. One that began is recovery's.

    Raises:
        StaleLeaseError: it is running, or over.
    """
    job = get_job(conn, job_name)
    if job.state is not JobState.ASSIGNED:
        raise StaleLeaseError(f"{owner} has no job to return", where=job_name, why=f"{job.state} by {job.owner}")
    update_job(conn, job_name, note=note)
    return new_launch(conn, job_name)


def new_launch(conn: sa.Connection, job_name: str) -> JobRow:
    """Give an assigned job its next launch number, because the run of the present one is lost.

    Raises:
        LedgerError: it is not assigned.
    """
    job = get_job(conn, job_name)
    if job.state is not JobState.ASSIGNED:
        raise LedgerError("only an assigned job can be launched again", where=job_name, why=f"it is {job.state}")
    release_slots(conn, job_name)  # a run that was killed before it claimed the job has left them
    update_job(conn, job_name, launch=job.launch + 1, requested_at=None, run_id=None, owner=None)
    return get_job(conn, job_name)


def mark_requested(
    conn: sa.Connection, now: datetime, job_name: str, launch: int, run_id: str | None, owner: str | None
) -> None:
    """Write down that the run of this launch was requested, and by whom it lives; a later launch is left alone."""
    match = (jobs.c.name == job_name) & (jobs.c.launch == launch) & (jobs.c.state == JobState.ASSIGNED)
    conn.execute(sa.update(jobs).where(match).values(requested_at=now, run_id=run_id, owner=owner))


def accepted_digest(conn: sa.Connection, job_name: str) -> str:
    """SHA-256 over the accepted trials of a job, names and trajectory digests, sorted by name."""
    trial = (attempts.c.trial_name, attempts.c.trajectory_sha256)
    rows = conn.execute(sa.select(*trial).where(attempts.c.job == job_name, attempts.c.accepted)).all()
    text = "".join(f"{name} {sha or '-'}\n" for name, sha in sorted(map(tuple, rows)))
    return hashlib.sha256(text.encode()).hexdigest()


def _free_positions(conn: sa.Connection, batch: Batch) -> list[int]:
    free = is_free(batch.campaign, batch.dataset, batch.exclude)
    query = sa.select(tasks.c.position).where(free).order_by(tasks.c.position)
    if batch.task_ids is None:
        return list(conn.scalars(query.limit(batch.limit)))
    chunks = chunked(sorted(set(batch.task_ids)))
    named = sorted(each for chunk in chunks for each in conn.scalars(query.where(tasks.c.task_id.in_(chunk))))
    return named[: batch.limit]


def _insert_job(
    conn: sa.Connection, now: datetime, name: str, batch: Batch, n_tasks: int, origin: dict[str, Any]
) -> None:
    row: dict[str, Any] = {"name": name, "campaign": batch.campaign, "dataset": batch.dataset}
    row |= {"state": JobState.ASSIGNED, "launch": 1, "fence": 0, "n_tasks": n_tasks}
    conn.execute(jobs.insert(), row | origin | {"assigned_at": now})


def _bind(conn: sa.Connection, now: datetime, job_name: str, positions: Sequence[int]) -> None:
    for chunk in chunked(positions):
        bound = sa.update(tasks).where(tasks.c.position.in_(chunk)).values(job=job_name, updated_at=now)
        conn.execute(bound)
    members = [{"job": job_name, "task": at, "ordinal": n} for n, at in enumerate(positions, 1)]
    conn.execute(job_tasks.insert(), members)


def _check_claimable(job: JobRow, owner: str, now: datetime) -> None:
    if job.state.is_over:
        raise LedgerError("the job is over", where=job.name, why=job.state, mend="start a new job for what is pending")
    held = job.lease_expires_at is not None and job.lease_expires_at > now
    if job.state is JobState.RUNNING and held and job.owner != owner:
        raise BusyError(
            "another run has this job", where=job.name, why=f"{job.owner} holds it until {job.lease_expires_at}"
        )


def _new_lease(conn: sa.Connection, now: datetime, job: JobRow, owner: str, ttl_s: float) -> Lease:
    lease = Lease(job.name, owner, job.fence + 1, now + timedelta(seconds=ttl_s))
    update_job(
        conn,
        job.name,
        state=JobState.RUNNING,
        owner=owner,
        fence=lease.fence,
        lease_expires_at=lease.expires_at,
    )
    return lease


def _start_tasks(conn: sa.Connection, now: datetime, job_name: str) -> None:
    bound = (tasks.c.job == job_name) & (tasks.c.status == TaskStatus.PENDING)
    free_tasks(conn, bound & ~tasks.c.listed, now)
    running = {"status": TaskStatus.RUNNING, "submitted_at": now, "updated_at": now}
    conn.execute(sa.update(tasks).where(bound).values(running))


def _end(
    conn: sa.Connection,
    now: datetime,
    job_name: str,
    state: JobState,
    note: str | None,
    *,
    accepted_digest: str | None = None,
) -> JobRow:
    free_tasks(conn, tasks.c.job == job_name, now)
    release_slots(conn, job_name)
    ended = {"state": state, "finished_at": now, "lease_expires_at": None, "note": note}
    update_job(conn, job_name, **ended, accepted_digest=accepted_digest)
    return get_job(conn, job_name)
