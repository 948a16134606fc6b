"""One look at a root: its counts, and each job without its trials. Trials are read again when a page is about them."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import reduce

from trajgen_assets.core.dashboard.facts.chosen import Chosen
from trajgen_assets.core.dashboard.facts.figures import figures_of, slices_of
from trajgen_assets.core.dashboard.facts.funnel import TaskFacts, task_facts
from trajgen_assets.core.dashboard.facts.jobs import read_job, read_unknown_job
from trajgen_assets.core.dashboard.facts.models import Converted, Figures, JobFacts, JobSummary, Outcome, Trial
from trajgen_assets.core.errors import LedgerError, UnknownNameError
from trajgen_assets.core.keys import SMOKE_CAMPAIGN
from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.ledger.looking import looking_at_ledger
from trajgen_assets.core.ledger.models import AttemptRow, Counts, JobRow, TaskRow
from trajgen_assets.core.paths import Root

N_AT_ONCE = 500
N_TRIALS_KEPT = 20_000  # some 40 MB


@dataclass(frozen=True, slots=True)
class Mark:
    """What of a trial is shown where all tasks are."""

    language: str | None
    difficulty: str | None
    category: str | None
    converted: Converted | None
    in_data_set: bool


@dataclass(frozen=True, slots=True)
class Attempt:
    """One trial among all at the same task."""

    job: str
    trial: str
    number: int
    outcome: Outcome
    reward: float | None
    has_trajectory: bool


@dataclass(frozen=True)
class Scene:
    """What the pages are made of.

    Attributes:
        ledger: None where it cannot be looked at; `problems` then says why, and the disk alone is shown.
        counts: of all campaigns but `smoke`, which counts towards nothing; None without a ledger.
        jobs: newest first.
        marks: of each trial, by job and name, what pages over all tasks show of it.
        attempts: at each task, by its key, oldest first.
        rows: of the jobs that the ledger knows, by name.
        kept: jobs with their trials, as many as memory is spent on; the others are read again when they are asked for.
    """

    root: Root
    ledger: Ledger | None
    counts: Counts | None
    smoke: Counts | None
    jobs: tuple[JobSummary, ...]
    marks: Mapping[tuple[str, str], "Mark"]
    attempts: Mapping[str, Sequence[Attempt]]
    rows: Mapping[str, JobRow]
    kept: Mapping[str, JobFacts]
    problems: tuple[str, ...] = ()

    @property
    def counted_jobs(self) -> tuple[JobSummary, ...]:
        """Jobs of campaigns that count."""
        return tuple(job for job in self.jobs if job.campaign != SMOKE_CAMPAIGN)

    @property
    def figures(self) -> Figures:
        """Over all trials that count."""
        return reduce(Figures.__add__, (job.figures for job in self.counted_jobs), Figures())

    def job(self, name: str) -> JobFacts:
        """One job with its trials.

        Raises:
            UnknownNameError: there is no such job.
        """
        found = self.kept.get(name) or job_facts(self.root, self.ledger, self.rows.get(name), name)
        if found is None:
            raise UnknownNameError("there is no such job", where=name, mend="see `trajgen status` for their names")
        return found

    def tasks(self) -> Iterator[TaskFacts]:
        """Every task that counts, in order of registration, a few hundred in memory at a time."""
        after = 0
        while self.ledger is not None and (rows := self.ledger.rows(limit=N_AT_ONCE, after=after)):
            last = rows[-1].position
            attempts: dict[int, list[AttemptRow]] = defaultdict(list)
            for attempt in self.ledger.attempts_between(after, last):
                attempts[attempt.task].append(attempt)
            yield from (self._task(row, attempts[row.position]) for row in rows if row.campaign != SMOKE_CAMPAIGN)
            after = last

    def mark(self, attempt: AttemptRow | None) -> "Mark | None":
        """What is known of an attempt beside what the ledger says."""
        return self.marks.get((attempt.job, attempt.trial_name)) if attempt else None

    def _task(self, row: TaskRow, attempts: list[AttemptRow]) -> TaskFacts:
        mark = self.mark(next((each for each in attempts if each.accepted), None))
        return task_facts(row, attempts, mark.converted if mark else None, in_data_set=bool(mark and mark.in_data_set))


@contextmanager
def looking_at(root: Root) -> Iterator[Scene]:
    """Yield the scene of `root`, and let go of its ledger afterwards. Changes nothing on disk."""
    with ExitStack() as stack:
        ledger: Ledger | None = None
        problems: tuple[str, ...] = ()
        try:
            ledger = stack.enter_context(looking_at_ledger(root))
        except LedgerError as error:
            problems = (str(error),)
        yield _scene(root, ledger, problems)


def job_facts(root: Root, ledger: Ledger | None, row: JobRow | None, name: str) -> JobFacts | None:
    """A job of the ledger, by its `row`, or one that only lies on disk; None where there is neither."""
    if ledger is None or row is None:
        return read_unknown_job(root.job(name))
    return read_job(root.job(name), row, ledger.job_attempts(name))


def _scene(root: Root, ledger: Ledger | None, problems: tuple[str, ...]) -> Scene:
    counts = ledger.counts() if ledger else None
    smoke = ledger.counts(SMOKE_CAMPAIGN) if ledger else None
    rows = {row.name: row for row in reversed(ledger.jobs() if ledger else [])}
    chosen = Chosen.of(root)
    jobs: list[JobSummary] = []
    marks: dict[tuple[str, str], Mark] = {}
    attempts: dict[str, list[Attempt]] = defaultdict(list)
    kept: dict[str, JobFacts] = {}
    for name in [*rows, *_unknown_jobs(root, rows)]:
        if (job := job_facts(root, ledger, rows.get(name), name)) is None:
            continue
        for trial in job.trials:
            attempts[trial.task_key].append(_attempt(trial))
            marks[job.name, trial.name] = _mark(job, trial, chosen)
        jobs.append(summary_of(job))
        if len(marks) <= N_TRIALS_KEPT:
            kept[job.name] = job
    counted = counts - smoke if counts and smoke else None
    return Scene(root, ledger, counted, smoke, tuple(jobs), marks, _in_order(attempts), rows, kept, problems)


def _unknown_jobs(root: Root, known: Collection[str]) -> list[str]:
    """Names of the folders under `jobs/` that are of no job of the ledger, newest first as far as names tell."""
    folders = root.jobs.iterdir() if root.jobs.is_dir() else ()
    return sorted((folder.name for folder in folders if folder.name not in known), reverse=True)


def _attempt(trial: Trial) -> Attempt:
    has_trajectory = trial.trajectory is not None
    return Attempt(trial.job, trial.name, trial.attempt, trial.outcome, trial.reward, has_trajectory)


def _in_order(attempts: Mapping[str, list[Attempt]]) -> Mapping[str, Sequence[Attempt]]:
    return {task: sorted(found, key=lambda each: (each.number, each.job)) for task, found in attempts.items()}


def _mark(job: JobFacts, trial: Trial, chosen: Chosen) -> Mark:
    has_row = bool(job.data and job.data.has_lf and trial.converted and trial.converted.n_rows)
    in_data_set = has_row and chosen.holds(job.name, trial.name)
    return Mark(trial.language, trial.difficulty, trial.category, trial.converted, in_data_set)


def summary_of(job: JobFacts) -> JobSummary:
    """A job in figures."""
    return JobSummary(
        name=job.name,
        dataset=job.dataset,
        campaign=job.campaign,
        state=job.state,
        n_tasks=job.n_tasks,
        assigned_at=job.assigned_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        scaffold=job.scaffold,
        agent=job.agent,
        model=job.model,
        figures=figures_of(job.trials),
        slices=slices_of(job.trials),
        data=job.data,
        problems=job.problems,
        digest=job.digest,
    )
