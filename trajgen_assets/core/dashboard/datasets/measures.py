"""Rows summed up. What was not measured counts nowhere: neither as a 0 nor in a mean."""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from trajgen_assets.core.dashboard.facts.rows import RejectedTrial, RowFacts
from trajgen_assets.core.sft.stats import LONG_TOKENS

TOKEN_EDGES = (1 << 10, 1 << 11, 1 << 12, 1 << 13, 1 << 14, 1 << 15, 1 << 16, LONG_TOKENS)
TURN_EDGES = (5, 10, 20, 40, 80, 100, 200)
SCORE_EDGES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
GROUPS = ("model", "scaffold", "language")


@dataclass
class Histogram:
    """Values counted between edges; a value on an edge counts below it. `n_unknown` have no value."""

    edges: Sequence[float]
    counts: list[int] = field(default_factory=list)
    n: int = 0
    n_unknown: int = 0
    total: float = 0
    largest: float = 0

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.edges) + 1)

    def add(self, value: float | None) -> None:
        """Take in a value."""
        if value is None:
            self.n_unknown += 1
            return
        self.n += 1
        self.total += value
        self.largest = max(self.largest, value)
        self.counts[bisect_right(self.edges, value, key=lambda edge: edge + 1e-9)] += 1

    @property
    def mean(self) -> float | None:
        return self.total / self.n if self.n else None

    @property
    def bars(self) -> list[tuple[str, int]]:
        """What each bar holds in words, and how much; empty ones at both ends are left out."""
        labels = [f"up to {self.edges[0]:,g}"]
        labels += [f"{low:,g} to {high:,g}" for low, high in zip(self.edges, self.edges[1:], strict=False)]
        labels.append(f"over {self.edges[-1]:,g}")
        filled = [at for at, count in enumerate(self.counts) if count]
        return list(zip(labels, self.counts, strict=True))[filled[0] : filled[-1] + 1] if filled else []


@dataclass
class Mean:
    """A mean of what is known."""

    n: int = 0
    total: float = 0

    def add(self, value: float | None) -> None:
        """Take in a value, if there is one."""
        if value is not None:
            self.n += 1
            self.total += value

    @property
    def value(self) -> float | None:
        return self.total / self.n if self.n else None


@dataclass
class Group:
    """Kept rows that have something in common: their scores and their tool errors."""

    n_rows: int = 0
    score: Mean = field(default_factory=Mean)
    parts: dict[str, Mean] = field(default_factory=lambda: defaultdict(Mean))
    n_counted: int = 0
    n_calls: int = 0
    n_errors: int = 0

    def add(self, row: RowFacts) -> None:
        """Take in a row."""
        self.n_rows += 1
        self.score.add(row.score)
        for name, value in row.parts.items():
            self.parts[name].add(value)
        if row.n_calls is not None:
            self.n_counted += 1
            self.n_calls += row.n_calls
            self.n_errors += row.n_errors or 0

    @property
    def error_share(self) -> float | None:
        """Of calls with a result; None where none was counted."""
        return self.n_errors / self.n_calls if self.n_calls else None


@dataclass
class Measures:
    """All rows of one folder of training data.

    Attributes:
        rejected: rows and whole trials left out, by reason.
        groups: what rows are told apart by, to each of its values, to the rows that have it.
    """

    tokens: Histogram = field(default_factory=lambda: Histogram(TOKEN_EDGES))
    turns: Histogram = field(default_factory=lambda: Histogram(TURN_EDGES))
    scores: Histogram = field(default_factory=lambda: Histogram(SCORE_EDGES))
    all: Group = field(default_factory=Group)
    groups: dict[str, dict[str, Group]] = field(default_factory=lambda: {name: defaultdict(Group) for name in GROUPS})
    rejected_rows: Counter[str] = field(default_factory=Counter)
    rejected_trials: Counter[str] = field(default_factory=Counter)
    n_flagged: int = 0

    def add(self, row: RowFacts | RejectedTrial) -> None:
        """Take in a row, or a trial without one."""
        if isinstance(row, RejectedTrial):
            self.rejected_trials[row.reason] += 1
        elif row.reason is not None:
            self.rejected_rows[row.reason] += 1
        else:
            self._add_kept(row)

    def _add_kept(self, row: RowFacts) -> None:
        self.tokens.add(row.n_tokens)
        self.turns.add(row.n_turns)
        self.scores.add(row.score)
        self.n_flagged += bool(row.leaks)
        self.all.add(row)
        for name, values in self.groups.items():
            values[getattr(row, name) or ""].add(row)
