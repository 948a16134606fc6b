"""The facts as values. None means that it is not known; nothing here stands for 0 but 0."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TypeVar

from trajgen_assets.core.ledger.models import AttemptKind, CaptureVerdict, JobState

Key = TypeVar("Key")
Number = TypeVar("Number", int, float)


class Outcome(StrEnum):
    """How a trial ended. The first three are results; `outside` is no doing of the agent's, and no unsolved task."""

    RESOLVED = "resolved"
    PARTIAL = "partial"
    UNSOLVED = "unsolved"
    AGENT = "agent"
    CAPTURE = "capture"
    OUTSIDE = "outside"
    SUPERSEDED = "superseded"

    @property
    def is_graded(self) -> bool:
        return self in (Outcome.RESOLVED, Outcome.PARTIAL, Outcome.UNSOLVED)


@dataclass(frozen=True, slots=True)
class Converted:
    """What became of a trial in its job's training data.

    Attributes:
        n_rows: rows kept of it; `rejected` counts those left out, by reason.
        reason: why nothing of it was kept; None where something was.
    """

    n_rows: int
    rejected: Mapping[str, int] = field(default_factory=dict)
    reason: str | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """One attempt at one task, by the ledger, with what `trials.json` tells of its task.

    Attributes:
        name: the trial's folder.
        language, difficulty, category: from the task's own metadata.
        converted: None where its job has no training data, or data of before this trial.
    """

    job: str
    task_id: str
    task_key: str
    name: str
    attempt: int
    outcome: Outcome
    kind: AttemptKind
    accepted: bool
    cause: str | None
    note: str | None
    reward: float | None
    capture: CaptureVerdict | None
    trajectory: str | None
    trajectory_sha256: str | None
    n_input_tokens: int | None
    n_output_tokens: int | None
    n_cache_tokens: int | None
    cost_usd: float | None
    started_at: datetime | None
    finished_at: datetime | None
    duration_s: float | None
    language: str | None = None
    difficulty: str | None = None
    category: str | None = None
    converted: Converted | None = None

    @property
    def n_tokens(self) -> int | None:
        """Input and output together."""
        if self.n_input_tokens is None and self.n_output_tokens is None:
            return None
        return (self.n_input_tokens or 0) + (self.n_output_tokens or 0)


@dataclass(frozen=True, slots=True)
class Data:
    """A job's training data, by its receipt; in equals kept plus rejected for trials and for rows."""

    n_trials: int
    n_trials_kept: int
    trials_rejected: Mapping[str, int]
    n_rows: int
    n_rows_kept: int
    rows_rejected: Mapping[str, int]
    has_lf: bool


@dataclass(frozen=True, slots=True)
class JobFacts:
    """One job with all its trials.

    Attributes:
        state: by the ledger; None for a job on disk that the ledger does not know.
        n_tasks: that it was given; None where the ledger does not know the job.
        problems: what could not be read, each in one line with the reason.
        digest: over all that is here.
    """

    name: str
    dataset: str
    campaign: str
    state: JobState | None
    n_tasks: int | None
    note: str | None
    assigned_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    scaffold: str | None
    agent: str | None
    model: str | None
    trials: tuple[Trial, ...]
    data: Data | None
    problems: tuple[str, ...]
    digest: str


@dataclass(frozen=True, slots=True)
class Figures:
    """Some trials in figures, which add up.

    Attributes:
        n_by_outcome: adds up to `n_trials`.
        reward_sum: over graded trials.
        causes: of the trials without a result.
        n_tokens, cost_usd: over the trials of which they are known; `n_told` and `n_priced` says of how many.
        durations_s: those that are known, in order of size.
    """

    n_trials: int = 0
    n_by_outcome: Mapping[Outcome, int] = field(default_factory=dict)
    reward_sum: float = 0.0
    causes: Mapping[str, int] = field(default_factory=dict)
    n_tokens: int | None = None
    n_told: int = 0
    cost_usd: float | None = None
    n_priced: int = 0
    durations_s: tuple[float, ...] = ()

    def __add__(self, other: "Figures") -> "Figures":
        return Figures(
            self.n_trials + other.n_trials,
            _added(self.n_by_outcome, other.n_by_outcome),
            self.reward_sum + other.reward_sum,
            _added(self.causes, other.causes),
            known_sum(self.n_tokens, other.n_tokens),
            self.n_told + other.n_told,
            known_sum(self.cost_usd, other.cost_usd),
            self.n_priced + other.n_priced,
            tuple(sorted(self.durations_s + other.durations_s)),
        )

    def n(self, outcome: Outcome) -> int:
        """How many trials ended so."""
        return self.n_by_outcome.get(outcome, 0)

    @property
    def n_graded(self) -> int:
        return sum(n for outcome, n in self.n_by_outcome.items() if outcome.is_graded)

    @property
    def n_resolved(self) -> int:
        return self.n(Outcome.RESOLVED)

    @property
    def n_outside(self) -> int:
        return self.n(Outcome.OUTSIDE)

    @property
    def mean_reward(self) -> float | None:
        """Over graded trials; None where there is none."""
        return self.reward_sum / self.n_graded if self.n_graded else None

    def quantile_s(self, share: float) -> float | None:
        """The smallest known duration that at least `share` of them do not exceed."""
        n = len(self.durations_s)
        return self.durations_s[max(0, math.ceil(n * share) - 1)] if n else None


def _added(one: Mapping[Key, int], other: Mapping[Key, int]) -> Mapping[Key, int]:
    return {key: one.get(key, 0) + other.get(key, 0) for key in {**one, **other}}


def known_sum(one: Number | None, other: Number | None) -> Number | None:
    """The sum of what is known of two numbers; None where nothing is."""
    if one is None or other is None:
        return other if one is None else one
    return one + other


@dataclass(frozen=True, slots=True)
class JobSummary:
    """A job without its trials: what the pages over many jobs need of each.

    Attributes:
        slices: what is told apart (`language`, `difficulty`, `category`) to each of its values to its trials' figures.
            A value that is not known is the empty text.
    """

    name: str
    dataset: str
    campaign: str
    state: JobState | None
    n_tasks: int | None
    assigned_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    scaffold: str | None
    agent: str | None
    model: str | None
    figures: Figures
    slices: Mapping[str, Mapping[str, Figures]]
    data: Data | None
    problems: tuple[str, ...]
    digest: str
