"""Taking over what was consumed before: entries of a published ledger, and trials that lie under `jobs/`.

Importing twice changes nothing. What the ledger already knows better (a result, a job that holds the task, a later
attempt) is never overwritten; it is said instead.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from trajgen_assets.core.keys import TaskKey
from trajgen_assets.core.ledger.jobs import accepted_digest
from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.ledger.models import AttemptOutcome, JobState, SkipKind, TaskRow, TaskStatus
from trajgen_assets.core.ledger.people import fresh_values, may_be_retried
from trajgen_assets.core.ledger.rows import (
    DUPLICATE_NOTE,
    REVOKED_NOTE,
    UNSEEN_REASON,
    chunked,
    find_job,
    update_job,
    update_task,
)
from trajgen_assets.core.ledger.schema import attempts, job_tasks, jobs, tasks


@dataclass(frozen=True, slots=True)
class FoundTask:
    """A task as a published ledger has it.

    Attributes:
        n_attempts: where our own view says so; an entry with fewer than the ledger has is older than the ledger.
        is_wish: a person changed the view it is from, so it may also take back what was failed or skipped.
    """

    key: TaskKey
    status: TaskStatus
    submitted_at: datetime | None = None
    completed_at: datetime | None = None
    trajectory_path: str | None = None
    reward: float | None = None
    note: str | None = None
    digest: str | None = None
    n_attempts: int | None = None
    is_wish: bool = False


@dataclass(frozen=True, slots=True)
class FoundTrial:
    """A trial that lies on disk.

    Attributes:
        status: where it left its task.
        accepted: its reward and its capture are as this system accepts them. The earlier system's trials have no
            verdict on their capture: a graded one makes its task done, and is no accepted attempt.
    """

    key: TaskKey
    digest: str | None
    outcome: AttemptOutcome
    status: TaskStatus
    accepted: bool


@dataclass(frozen=True, slots=True)
class FoundJob:
    """A job that lies on disk, with its trials in the order in which they ended. `is_ours`: it has a `trials.json`."""

    name: str
    campaign: str
    dataset: str
    began_at: datetime
    ended_at: datetime
    is_ours: bool
    trials: tuple[FoundTrial, ...]


@dataclass(frozen=True)
class ImportResult:
    """What an import came to.

    Attributes:
        changed: tasks as they are afterwards, new ones too.
        new_jobs: jobs that the ledger did not know.
        new_trials: `job/trial` of the trials that it did not know.
        left: what was left as it is, and why.
        n_same: entries and trials that say what the ledger says.
        n_to_register: entries of which only their manifest can tell: pending ones, and copies and revoked ones.
    """

    changed: list[TaskRow] = field(default_factory=list)
    new_jobs: list[str] = field(default_factory=list)
    new_trials: list[str] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)
    n_same: int = 0
    n_to_register: int = 0


class _NotForReal(Exception):
    """Ends a transaction without its changes."""


def import_found(
    ledger: Ledger, entries: Sequence[FoundTask], found_jobs: Sequence[FoundJob], *, dry_run: bool = False
) -> ImportResult:
    """Take over entries, then jobs, in one transaction; with `dry_run` it is undone at its end."""
    results = []
    try:
        with ledger.store.write() as conn:
            results.append(_Import(conn, ledger.now(), _known(conn, entries, found_jobs)).run(entries, found_jobs))
            if dry_run:
                raise _NotForReal
    except _NotForReal:
        pass
    return results[0]


def _known(conn: sa.Connection, entries: Iterable[FoundTask], found_jobs: Iterable[FoundJob]) -> dict[TaskKey, TaskRow]:
    places = {(each.key.campaign, each.key.dataset) for each in entries}
    places |= {(trial.key.campaign, trial.key.dataset) for job in found_jobs for trial in job.trials}
    return _rows_in(conn, places)


def _rows_in(conn: sa.Connection, places: Iterable[tuple[str, str]]) -> dict[TaskKey, TaskRow]:
    """All tasks of these campaigns and data sets."""
    found: dict[TaskKey, TaskRow] = {}
    for campaign, dataset in sorted(places):
        query = sa.select(tasks).where(tasks.c.campaign == campaign, tasks.c.dataset == dataset)
        found |= {(row := TaskRow(*each)).key: row for each in conn.execute(query)}
    return found


@dataclass
class _Import:
    """One import within its transaction. `known` is kept up to date with what it writes."""

    conn: sa.Connection
    now: datetime
    known: dict[TaskKey, TaskRow]
    before: Mapping[TaskKey, TaskRow] = field(default_factory=dict, init=False)
    counts: dict[str, int] = field(default_factory=lambda: {"same": 0, "to_register": 0}, init=False)
    left: dict[str, str] = field(default_factory=dict, init=False)
    new_jobs: list[str] = field(default_factory=list, init=False)
    new_trials: list[str] = field(default_factory=list, init=False)

    def run(self, entries: Sequence[FoundTask], found_jobs: Sequence[FoundJob]) -> ImportResult:
        self.before = dict(self.known)
        self._insert_all([entry for entry in entries if self._is_new(entry)])
        for job in _last_accepted_only(found_jobs):
            self._take_job(job)
        changed = [row for key, row in self.known.items() if row != self.before.get(key)]
        return ImportResult(
            changed, self.new_jobs, self.new_trials, self.left, self.counts["same"], self.counts["to_register"]
        )

    # Entries of a published ledger

    def _is_new(self, entry: FoundTask) -> bool:
        """Whether an entry is to be inserted. One whose task is known changes it here, or is left with a reason."""
        row = self.known.get(entry.key)
        if row is None:
            self.counts["to_register"] += _is_for_its_manifest(entry)
            return not _is_for_its_manifest(entry)
        refusal = _refusal(entry, row)
        if refusal is None:
            is_open = entry.status in (TaskStatus.PENDING, TaskStatus.RUNNING)
            self._update(row, **(fresh_values(row, self.now) if is_open else _entry_values(entry, self.now)))
        elif refusal:
            self.left[entry.key.partition] = refusal
        else:
            self.counts["same"] += 1
        return False

    # Jobs on disk

    def _take_job(self, job: FoundJob) -> None:
        standing = find_job(self.conn, job.name)
        if standing is not None and not standing.state.is_over:
            self.left[job.name] = f"the job is {standing.state.value}: what it did is settled when it ends"
            return
        query = sa.select(attempts.c.trial_name).where(attempts.c.job == job.name)
        recorded = set(self.conn.scalars(query))
        fresh = [trial for trial in job.trials if trial.outcome.trial_name not in recorded]
        self.counts["same"] += len(job.trials) - len(fresh)
        fresh = [trial for trial in fresh if not self._is_held(job, trial)]
        if not fresh:
            return
        for trial in fresh:
            if trial.key not in self.known:
                self._insert(trial.key, trial.digest)
        if standing is None:
            self._insert_job(job)
        self._bind(job, fresh)
        for trial in fresh:
            self._take_trial(job, trial)
        digest = accepted_digest(self.conn, job.name)
        # The earlier system's jobs were summed up and converted by it; nothing here waits to be made of them.
        downstream = {} if job.is_ours else {"downstream_digest": digest}
        update_job(self.conn, job.name, accepted_digest=digest, **downstream)

    def _is_held(self, job: FoundJob, trial: FoundTrial) -> bool:
        row = self.known.get(trial.key)
        if row is None or row.job is None:
            return False
        self.left[f"{job.name}/{trial.outcome.trial_name}"] = f"{trial.key.partition} is held by job {row.job}"
        return True

    def _take_trial(self, job: FoundJob, trial: FoundTrial) -> None:
        row = self.known[trial.key]
        skipped = row.status is TaskStatus.SKIPPED and row.skip_kind is SkipKind.PERSON
        wins = trial.status is TaskStatus.DONE and not skipped and not self._has_result(row)
        attempt: dict[str, Any] = asdict(trial.outcome)
        attempt |= {"task": row.position, "job": job.name, "ordinal": row.n_attempts + 1, "fence": 1}
        attempt |= {"accepted": trial.accepted and wins, "recorded_at": self.now}
        self.conn.execute(attempts.insert(), attempt)
        self.new_trials.append(f"{job.name}/{trial.outcome.trial_name}")
        self._update(row, n_attempts=row.n_attempts + 1, **self._moved(job, trial, row, wins=wins))

    def _has_result(self, row: TaskRow) -> bool:
        """Whether one attempt at the task stands as its result. A task that is done by a file alone has none."""
        mine = (attempts.c.task == row.position) & (attempts.c.trajectory_path == row.trajectory_path)
        standing = sa.select(attempts.c.attempt_id).where(mine, attempts.c.reward.is_not(None))
        return row.status is TaskStatus.DONE and self.conn.scalar(standing) is not None

    def _moved(self, job: FoundJob, trial: FoundTrial, row: TaskRow, *, wins: bool) -> dict[str, Any]:
        """Column values of a task after a trial that was found."""
        outcome = trial.outcome
        tried = {"last_job": job.name, "last_cause": outcome.cause, "submitted_at": outcome.started_at}
        if wins:
            result = {"reward": outcome.reward, "trajectory_path": outcome.trajectory_path, "note": outcome.note}
            over = {"status": TaskStatus.DONE, "skip_kind": None, "imported": True}
            return tried | result | over | {"completed_at": outcome.finished_at or self.now}
        mine = row.status is TaskStatus.PENDING or row != self.before.get(row.key)
        if not mine or row.status not in (TaskStatus.PENDING, TaskStatus.FAILED):
            return {}
        if trial.status is TaskStatus.FAILED:
            failed = {"status": TaskStatus.FAILED, "imported": True, "note": outcome.note or outcome.cause}
            return tried | failed | {"completed_at": outcome.finished_at or self.now}
        pending = {"status": TaskStatus.PENDING, "imported": False, "note": None, "completed_at": None}
        return tried | (pending if row.last_job else {})

    # Writing

    def _insert_all(self, entries: Sequence[FoundTask]) -> None:
        for chunk in chunked(entries, 10_000):
            rows = [self._row(each.key, each.digest) | _entry_values(each, self.now) for each in chunk]
            self.conn.execute(tasks.insert(), rows)
        if entries:
            self.known |= _rows_in(self.conn, {(each.key.campaign, each.key.dataset) for each in entries})

    def _insert(self, key: TaskKey, digest: str | None) -> None:
        row = self._row(key, digest) | {"status": TaskStatus.PENDING}
        self.known[key] = TaskRow(*self.conn.execute(tasks.insert().returning(*tasks.c), row).one())

    def _row(self, key: TaskKey, digest: str | None) -> dict[str, Any]:
        row: dict[str, Any] = {"campaign": key.campaign, "dataset": key.dataset, "task_id": key.task_id}
        row |= {"digest": digest, "listed": False, "eligible": False, "ineligible_reason": UNSEEN_REASON}
        return row | {"registered_at": self.now, "updated_at": self.now}

    def _update(self, row: TaskRow, **values: Any) -> None:
        self.known[row.key] = update_task(self.conn, row.position, {"updated_at": self.now} | values)

    def _insert_job(self, job: FoundJob) -> None:
        row: dict[str, Any] = {"name": job.name, "campaign": job.campaign, "dataset": job.dataset}
        row |= {"state": JobState.FINISHED, "launch": 1, "fence": 1, "n_tasks": len({t.key for t in job.trials})}
        row |= {"assigned_at": job.began_at, "started_at": job.began_at, "finished_at": job.ended_at}
        whose = "imported from its trials.json" if job.is_ours else "imported; it ran in the earlier system"
        self.conn.execute(jobs.insert(), row | {"note": whose})
        self.new_jobs.append(job.name)

    def _bind(self, job: FoundJob, fresh: Sequence[FoundTrial]) -> None:
        bound = set(self.conn.scalars(sa.select(job_tasks.c.task).where(job_tasks.c.job == job.name)))
        positions = dict.fromkeys(self.known[trial.key].position for trial in fresh)
        missing = [position for position in positions if position not in bound]
        members = [{"job": job.name, "task": at, "ordinal": n} for n, at in enumerate(missing, len(bound) + 1)]
        if members:
            self.conn.execute(job_tasks.insert(), members)


def _last_accepted_only(found_jobs: Sequence[FoundJob]) -> list[FoundJob]:
    """Jobs from the oldest on. Of several results for one task the last counts: the others were superseded by force."""
    ordered = sorted(found_jobs, key=lambda job: (job.began_at, job.name))
    results = [(trial.key, id(trial)) for job in ordered for trial in job.trials if trial.status is TaskStatus.DONE]
    last = dict(results)
    return [replace(job, trials=tuple(_superseded(trial, last) for trial in job.trials)) for job in ordered]


def _superseded(trial: FoundTrial, last: Mapping[TaskKey, int]) -> FoundTrial:
    if trial.status is not TaskStatus.DONE or last[trial.key] == id(trial):
        return trial
    outcome = replace(trial.outcome, note="superseded by a later result")
    return replace(trial, outcome=outcome, status=TaskStatus.PENDING, accepted=False)


def _is_for_its_manifest(entry: FoundTask) -> bool:
    """Whether an entry says nothing that lasts: registration finds out again what is pending, a copy or revoked."""
    if entry.status in (TaskStatus.PENDING, TaskStatus.RUNNING):
        return True
    note = entry.note or ""
    is_ours = entry.n_attempts is not None and entry.status is TaskStatus.SKIPPED
    return is_ours and (note == REVOKED_NOTE or note.startswith(DUPLICATE_NOTE))


def _refusal(entry: FoundTask, row: TaskRow) -> str | None:
    """Why a known task is left as it is; empty if it stands as the entry says, None if the entry is taken."""
    is_open = entry.status in (TaskStatus.PENDING, TaskStatus.RUNNING)
    if entry.status is row.status or (is_open and not entry.is_wish):
        return ""
    if row.job is not None:
        return "" if is_open else f"it is held by job {row.job}"
    if row.status is TaskStatus.DONE:
        return "it is done here; `trajgen ledger reset --force` takes that back"
    if entry.n_attempts is not None and entry.n_attempts < row.n_attempts:
        return "the file is older than what the ledger knows of it"
    if is_open:
        may = (row.status is TaskStatus.SKIPPED and row.listed) or may_be_retried(row)
        return None if may else "it is not in its manifest any more"
    untouched = row.status is TaskStatus.PENDING and row.n_attempts == 0
    return None if entry.is_wish or untouched else f"the ledger has it {row.status.value} since"


def _entry_values(entry: FoundTask, now: datetime) -> dict[str, Any]:
    """Column values of a task that is over, as its entry has it."""
    over: dict[str, Any] = {"status": entry.status, "imported": True, "note": entry.note}
    over |= {"skip_kind": SkipKind.PERSON if entry.status is TaskStatus.SKIPPED else None}
    over |= {"submitted_at": entry.submitted_at, "completed_at": entry.completed_at or now}
    is_done = entry.status is TaskStatus.DONE
    over |= {"reward": entry.reward if is_done else None}
    return over | {"trajectory_path": entry.trajectory_path if is_done else None}
