"""The ledger as everything else sees it: one method, one transaction."""

import inspect
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import wraps
from typing import Any, Self, TypeVar

import sqlalchemy as sa

from trajgen_assets.core import clock
from trajgen_assets.core.keys import TaskKey
from trajgen_assets.core.ledger import (
    attempts,
    breaker,
    jobs,
    people,
    queries,
    register,
    removals,
    rows,
    slots,
    unattended,
)
from trajgen_assets.core.ledger.connect import Store, until_done
from trajgen_assets.core.ledger.models import (
    AskedBy,
    AttemptKind,
    AttemptOutcome,
    AttemptRow,
    Batch,
    Breaker,
    Counts,
    FreeTasks,
    JobRow,
    JobState,
    Lease,
    ListedTask,
    ManifestRow,
    ManifestSeen,
    Pause,
    RegisterResult,
    Removal,
    RetryPolicy,
    StopRequest,
    TaskFilter,
    TaskRow,
)
from trajgen_assets.core.ledger.schema import tasks
from trajgen_assets.guest.spending import Spent

T = TypeVar("T")


def _repeating(kind: type[T]) -> type[T]:
    """Have each method done again whose connection was lost before anything of it was written."""
    for name, method in list(vars(kind).items()):
        if inspect.isfunction(method) and not name.startswith("_"):
            setattr(kind, name, _repeated(method))
    return kind


def _repeated(method: Callable[..., T]) -> Callable[..., T]:
    @wraps(method)
    def repeated(self: "Ledger", *args: Any, **kwargs: Any) -> T:
        return until_done(lambda: method(self, *args, **kwargs))

    return repeated


@_repeating
@dataclass(frozen=True)
class Ledger:
    """What was consumed, and how it ended. Get one from `open_ledger`; close it, or use it in a `with` block.

    Every method is one transaction, and may be called from any thread or process at any time. Besides what
    each one names, all raise BusyError when the store stays locked for 30 s or its server does not come back in that
    time, LedgerCorruptError when it cannot be read, and LedgerError when it cannot be written.
    """

    store: Store
    now: Callable[[], datetime] = clock.now

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.store.close()

    # Manifests and partitions

    def register(
        self,
        campaign: str,
        dataset: str,
        listed: Collection[ListedTask],
        manifest: ManifestSeen,
        *,
        whole: bool = True,
    ) -> RegisterResult:
        """Bring the tasks of a data set in line with its manifest; `whole=False` if only some lines are given."""
        with self.store.write() as conn:
            return register.register(conn, self.now(), campaign, dataset, listed, manifest, whole=whole)

    def enlist(
        self, campaign: str, dataset: str, task_ids: Sequence[str], manifest: ManifestSeen, *, whole: bool = True
    ) -> RegisterResult:
        """As `register`, for ids whose folders nobody has looked at yet: the new ones wait for that."""
        with self.store.write() as conn:
            return register.enlist(conn, self.now(), campaign, dataset, task_ids, manifest, whole=whole)

    def waiting(
        self, campaign: str, dataset: str, *, after: int = 0, limit: int = 200, unseen: bool | None = None
    ) -> list[TaskRow]:
        """Listed tasks that wait for their folder, from behind position `after`; `unseen` are those never looked at."""
        with self.store.read() as conn:
            return queries.waiting(conn, campaign, dataset, after=after, limit=limit, unseen=unseen)

    def note_looks(self, campaign: str, dataset: str, looked: Collection[ListedTask]) -> RegisterResult:
        """Write down what the folders of waiting tasks look like now."""
        with self.store.write() as conn:
            return register.note_looks(conn, self.now(), campaign, dataset, looked)

    def fingerprint(self) -> str:
        """Equal as long as no task has changed in a way that anybody is shown."""
        with self.store.read() as conn:
            return queries.fingerprint(conn)

    def manifest(self, campaign: str, dataset: str) -> ManifestRow | None:
        """The manifest as last registered."""
        with self.store.read() as conn:
            return queries.manifest(conn, campaign, dataset)

    def partitions_to_add(self, limit: int = 20_000) -> list[TaskRow]:
        """Eligible tasks that Dagster has not been told of."""
        with self.store.read() as conn:
            return queries.partitions_to_add(conn, limit)

    def mark_partitioned(self, added: Sequence[TaskRow]) -> None:
        """Note that these tasks are Dagster partitions now."""
        with self.store.write() as conn:
            for chunk in rows.chunked([row.position for row in added]):
                conn.execute(sa.update(tasks).where(tasks.c.position.in_(chunk)).values(partitioned=True))

    # Jobs

    def assign(
        self, job_name: str, batch: Batch, *, config_digest: str | None = None, asked_by: AskedBy | None = None
    ) -> JobRow | None:
        """Bind free tasks to a new job; None when there is none."""
        with self.store.write() as conn:
            return jobs.assign(conn, self.now(), job_name, batch, config_digest=config_digest, asked_by=asked_by)

    def claim(
        self, job_name: str, owner: str, *, ttl_s: float, run_id: str | None = None, host: str | None = None
    ) -> Lease:
        """Take the lease of an assigned job; BusyError if another run has it."""
        with self.store.write() as conn:
            return jobs.claim(conn, self.now(), job_name, owner, ttl_s=ttl_s, run_id=run_id, host=host)

    def seize(self, job: JobRow, owner: str, *, ttl_s: float) -> Lease:
        """Take over a running job whose owner is known to be gone; StaleLeaseError if another did so first."""
        with self.store.write() as conn:
            return jobs.seize(conn, self.now(), job, owner, ttl_s=ttl_s)

    def renew(self, lease: Lease, *, ttl_s: float) -> Lease:
        """Extend a lease; StaleLeaseError if it was lost."""
        with self.store.write() as conn:
            return jobs.renew(conn, self.now(), lease, ttl_s=ttl_s)

    def release(self, lease: Lease, state: JobState, note: str | None = None) -> JobRow:
        """End a job truthfully; its unfinished tasks are pending again."""
        with self.store.write() as conn:
            return jobs.release(conn, self.now(), lease, state, note)

    def give_back(self, lease: Lease, key: TaskKey, reason: str) -> TaskRow:
        """Let go of one task of a running job whose folder cannot be used; it waits until that was looked at again."""
        with self.store.write() as conn:
            return jobs.give_back(conn, self.now(), lease, key, reason)

    def withdraw(self, job_name: str, note: str) -> JobRow:
        """End a job that never started."""
        with self.store.write() as conn:
            return jobs.withdraw(conn, self.now(), job_name, note)

    def return_job(self, job_name: str, owner: str, note: str | None = None) -> JobRow:
        """Put a job that could not start back to assigned, under its next launch number."""
        with self.store.write() as conn:
            return jobs.return_job(conn, job_name, owner, note)

    def new_launch(self, job_name: str) -> JobRow:
        """The next launch number for an assigned job whose run is lost."""
        with self.store.write() as conn:
            return jobs.new_launch(conn, job_name)

    def mark_requested(
        self, job_name: str, launch: int, run_id: str | None = None, *, owner: str | None = None
    ) -> None:
        """Note that the run of this launch was requested; `owner` is the command that will execute it, if one does."""
        with self.store.write() as conn:
            jobs.mark_requested(conn, self.now(), job_name, launch, run_id, owner)

    def record_downstream(self, job_name: str, digest: str) -> None:
        """Note for which accepted trials the results and data of a job are made."""
        with self.store.write() as conn:
            rows.get_job(conn, job_name)
            rows.update_job(conn, job_name, downstream_digest=digest)

    def job(self, name: str) -> JobRow:
        """One job; LedgerError if there is none."""
        with self.store.read() as conn:
            return rows.get_job(conn, name)

    def jobs(self, *states: JobState) -> list[JobRow]:
        """Jobs in these states, or all, oldest first."""
        with self.store.read() as conn:
            return queries.jobs_in(conn, *states)

    def jobs_to_launch(self) -> list[JobRow]:
        """Jobs that are assigned and not started, requested or not; a run key of theirs is name and launch."""
        return self.jobs(JobState.ASSIGNED)

    def jobs_needing_downstream(self) -> list[JobRow]:
        """Jobs that are over and whose accepted trials were not yet turned into results and data."""
        with self.store.read() as conn:
            return queries.jobs_needing_downstream(conn)

    # Attempts

    def record_attempt(self, lease: Lease, key: TaskKey, outcome: AttemptOutcome, policy: RetryPolicy) -> TaskRow:
        """Settle one trial: its task is done, pending again, or failed. Repeating it changes nothing."""
        with self.store.write() as conn:
            return attempts.record_attempt(conn, self.now(), lease, key, outcome, policy)

    def attempts(self, key: TaskKey) -> list[AttemptRow]:
        """Every attempt at a task, first to last."""
        with self.store.read() as conn:
            return queries.attempts_of(conn, key)

    def attempts_between(self, after: int, last: int) -> list[AttemptRow]:
        """`queries.attempts_between`."""
        with self.store.read() as conn:
            return queries.attempts_between(conn, after, last)

    def job_attempts(self, job_name: str) -> list[tuple[TaskKey, AttemptRow]]:
        """Every attempt within a job, in the order recorded, each with its task."""
        with self.store.read() as conn:
            return queries.job_attempts(conn, job_name)

    def superseded_trials(self, job_name: str) -> set[str]:
        """Trials of a job that were accepted once, until their tasks were rolled out again by force."""
        graded = (each for _, each in self.job_attempts(job_name) if each.kind is AttemptKind.GRADED)
        return {each.trial_name for each in graded if not each.accepted}

    # People

    def named(self, names: Sequence[str], campaign: str) -> list[TaskRow]:
        """The tasks that a person names by key or by bare id; UnknownNameError for one that is unknown or ambiguous."""
        with self.store.read() as conn:
            return people.named(conn, names, campaign)

    def skip(self, keys: Collection[TaskKey], reason: str) -> list[TaskRow]:
        """Leave tasks out for good; returns those that this changed."""
        with self.store.write() as conn:
            return people.skip(conn, self.now(), keys, reason)

    def retry(self, keys: Collection[TaskKey], memory_multiplier: float | None = None) -> list[TaskRow]:
        """Let failed tasks be tried again; returns those that this changed."""
        with self.store.write() as conn:
            return people.retry(conn, self.now(), keys, memory_multiplier)

    def reset(self, key: TaskKey, *, force: bool = False) -> TaskRow:
        """Make a task pending again; one that is done only by `force`."""
        with self.store.write() as conn:
            return people.reset(conn, self.now(), key, force=force)

    # People: jobs that nobody watches

    def ask_to_stop(self, job_name: str, asked_by: str, *, drain: bool) -> StopRequest:
        """Ask the driver of a running job to end it; LedgerError if it does not run."""
        with self.store.write() as conn:
            return unattended.ask_to_stop(conn, self.now(), job_name, asked_by, drain=drain)

    def stop_request(self, job_name: str) -> StopRequest | None:
        """What a person has asked of a job."""
        with self.store.read() as conn:
            return unattended.stop_request(conn, job_name)

    def pause(self, dataset: str, paused_by: str, reason: str = "") -> Pause:
        """Let no new job of a data set begin, or of any if it is empty."""
        with self.store.write() as conn:
            return unattended.pause(conn, self.now(), dataset, paused_by, reason)

    def resume(self, dataset: str) -> list[Pause]:
        """Lift the pause of a data set, or every one; returns what was lifted."""
        with self.store.write() as conn:
            return unattended.resume(conn, dataset)

    def pauses(self) -> list[Pause]:
        """What people have paused, the oldest first."""
        with self.store.read() as conn:
            return unattended.standing_pauses(conn)

    def pause_of(self, dataset: str) -> Pause | None:
        """The pause by which a data set gets no new job; None if people let it."""
        return next((each for each in self.pauses() if each.dataset in (unattended.EVERY, dataset)), None)

    def wrong_since(self, what: str, *, is_wrong: bool) -> datetime | None:
        """Since when something is wrong: from the first call that says so, until one says that it no longer is."""
        with self.store.read() as conn:  # mostly it is as before, and ticks need not take turns with writers for that
            since = unattended.wrong_since(conn, what)
        if is_wrong is (since is not None):
            return since
        with self.store.write() as conn:
            if is_wrong:
                return unattended.note_wrong(conn, self.now(), what)
            unattended.note_right(conn, what)
            return None

    def begin_removal(self, job_name: str, note: str = removals.REMOVED) -> Removal:
        """Note that the trajectories of a job go; LedgerError if it is not over."""
        with self.store.write() as conn:
            return removals.begin(conn, self.now(), job_name, note)

    def finish_removal(self, job_name: str) -> None:
        """Note that they have gone."""
        with self.store.write() as conn:
            removals.finish(conn, self.now(), job_name)

    def removals(self) -> list[Removal]:
        """The jobs whose trajectories were removed, or are being removed."""
        with self.store.read() as conn:
            return removals.standing(conn)

    # Circuit breaker and trial slots

    def breaker_state(self, dataset: str) -> Breaker:
        """The circuit breaker of a data set."""
        with self.store.read() as conn:
            return breaker.breaker_state(conn, dataset)

    def recent_outcomes(self, job_name: str) -> list[tuple[AttemptKind, str | None]]:
        """Kind and cause of the last twenty attempts of a job, newest last, for `tripping_cause`."""
        with self.store.read() as conn:
            return breaker.recent_outcomes(conn, job_name)

    def trip(self, dataset: str, cause: str, *, job: str | None = None) -> Breaker:
        """Pause launches of a data set; what the outage did in `job` counts towards no cap."""
        with self.store.write() as conn:
            return breaker.trip(conn, self.now(), dataset, cause, job=job)

    def forgive(self, job: str, cause: str) -> None:
        """Let what an outage did in `job` count towards no cap."""
        with self.store.write() as conn:
            breaker.forgive(conn, self.now(), job, cause)

    def try_probe(self, dataset: str, *, within_s: float) -> bool:
        """Whether the caller may launch the one probe that ends a pause."""
        with self.store.write() as conn:
            return breaker.try_probe(conn, self.now(), dataset, within_s=within_s)

    def clear(self, dataset: str) -> None:
        """End the pause of a data set."""
        with self.store.write() as conn:
            breaker.clear(conn, dataset)

    def acquire_slots(self, host: str, job: str, *, want: int, max_trials: int) -> int:
        """Set a job's trial slots to as much of `want` as is free; returns how many it holds."""
        with self.store.write() as conn:
            return slots.acquire_slots(conn, self.now(), host, job, want=want, max_trials=max_trials)

    def release_unclaimed_slots(self, job: str) -> None:
        """Give back the trial slots of a job that nobody has claimed; those of any other go with the job's end."""
        with self.store.write() as conn:
            slots.release_unclaimed(conn, job)

    def slots_in_use(self, host: str, *, claimed: bool = False) -> int:
        """How many trial slots of a host are lent out: all, or those of jobs that run."""
        with self.store.read() as conn:
            return slots.slots_in_use(conn, host, claimed=claimed)

    # Questions

    def task(self, key: TaskKey) -> TaskRow:
        """One task; LedgerError if it was never registered."""
        with self.store.read() as conn:
            return rows.get_task(conn, key)

    def rows(self, which: TaskFilter | None = None, *, limit: int | None = None, after: int = 0) -> list[TaskRow]:
        """Tasks that match, in order of registration, from behind position `after`."""
        with self.store.read() as conn:
            return queries.rows(conn, which or TaskFilter(), limit, after)

    def tasks_of_job(self, job_name: str) -> list[TaskRow]:
        """The tasks that a job was given, in its order."""
        with self.store.read() as conn:
            return queries.tasks_of_job(conn, job_name)

    def consumed_ids(self, campaign: str, dataset: str | None = None) -> list[str]:
        """Ids that must not be rolled out: done, failed, skipped."""
        with self.store.read() as conn:
            return queries.consumed_ids(conn, campaign, dataset)

    def counts(self, campaign: str | None = None, dataset: str | None = None) -> Counts:
        """How many tasks stand where."""
        with self.store.read() as conn:
            return queries.counts(conn, campaign, dataset)

    def free(self, campaign: str, dataset: str, *, exclude: Collection[str] = ()) -> FreeTasks:
        """How many tasks a new job could take, and since when the first of them has waited."""
        with self.store.read() as conn:
            return queries.free(conn, campaign, dataset, exclude)

    def n_assigned_since(self, campaign: str, moment: datetime) -> int:
        """How many tasks jobs of a campaign were given from `moment` on, less those of refused jobs."""
        with self.store.read() as conn:
            return queries.n_assigned_since(conn, campaign, moment)

    def spent_since(self, moment: datetime) -> Spent:
        """What the attempts that began at `moment` or later are on record to have taken."""
        with self.store.read() as conn:
            return queries.spent_since(conn, moment)

    def check_balance(self) -> Counts:
        """The counts, after proving that nothing is lost or doubled; LedgerCorruptError otherwise."""
        with self.store.read() as conn:
            return queries.check_balance(conn, self.store.where)
