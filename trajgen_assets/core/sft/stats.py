"""`lf.stats.json`: what is in an LF file, counted while it is written."""

from collections import defaultdict
from dataclasses import dataclass, field

from trajgen_assets.core.sft.im import assistant_turns
from trajgen_assets.core.sft.messages import Json
from trajgen_assets.core.sft.tokens.length import n_tokens_of

LONG_TOKENS = 131072
LONG_TURNS = 100


@dataclass
class Spread:
    """Smallest, largest and sum of numbers seen one by one."""

    count: int = 0
    total: float = 0
    smallest: float = 0
    largest: float = 0

    def add(self, value: float) -> None:
        """Take in one value."""
        self.smallest = min(self.smallest, value) if self.count else value
        self.largest = max(self.largest, value)
        self.count += 1
        self.total += value

    def as_json(self) -> Json:
        """Return max, min and mean of whole numbers, the mean cut to one."""
        return {"max": self.largest, "min": self.smallest, "mean": int(self.total // self.count)}

    def as_json_of_shares(self) -> Json:
        """Return max, min and mean, to four places."""
        named = {"max": self.largest, "min": self.smallest, "mean": self.total / self.count}
        return {name: round(value, 4) for name, value in named.items()}


@dataclass
class ToolErrors:
    """Calls with a result, and errors among them, over the rows that have any."""

    n_calls: int = 0
    n_errors: int = 0
    n_rows: int = 0
    n_rows_with_error: int = 0

    def add(self, n_calls: int, n_errors: int) -> None:
        """Take in one row."""
        self.n_calls += n_calls
        self.n_errors += n_errors
        self.n_rows += n_calls > 0
        self.n_rows_with_error += n_errors > 0

    def as_json(self) -> Json:
        """Return counts and rates."""
        return {
            "total_tool_calls": self.n_calls,
            "error_tool_calls": self.n_errors,
            "error_rate": _rate(self.n_errors, self.n_calls),
            "trajectories_with_tool_calls": self.n_rows,
            "trajectories_with_error": self.n_rows_with_error,
            "trajectory_error_rate": _rate(self.n_rows_with_error, self.n_rows),
        }


@dataclass
class LfStats:
    """Counts over the rows of one LF file."""

    n_rows: int = 0
    n_without_tokens: int = 0
    n_long: int = 0
    n_many_turns: int = 0
    n_cut: int = 0
    sources: set[str] = field(default_factory=set)
    tokens: Spread = field(default_factory=Spread)
    turns: Spread = field(default_factory=Spread)
    scores: Spread = field(default_factory=Spread)
    errors: ToolErrors = field(default_factory=ToolErrors)
    errors_by_scaffold: dict[str, ToolErrors] = field(default_factory=lambda: defaultdict(ToolErrors))

    def add(self, im: Json) -> None:
        """Take in one IM row."""
        facts = im["meta_info"]["unique_info"]
        n_turns = len(assistant_turns(im["messages"]))
        self.n_rows += 1
        self.n_cut += facts.get("n_left_out_messages", 0) > 0
        self.turns.add(n_turns)
        self.n_many_turns += n_turns >= LONG_TURNS
        self._add_tokens(n_tokens_of(im), facts.get("tokens_from", "usage"))
        if facts["_score"] is not None:
            self.scores.add(facts["_score"]["composite_score"])
        if facts.get("n_tool_calls") is not None:  # rows of earlier versions have no count
            for errors in (self.errors, self.errors_by_scaffold[facts["scaffold"]]):
                errors.add(facts["n_tool_calls"], facts["n_tool_errors"])

    def _add_tokens(self, n_tokens: int | None, tokens_from: str) -> None:
        if n_tokens is None:
            self.n_without_tokens += 1
            return
        self.sources.add(tokens_from)
        self.tokens.add(n_tokens)
        self.n_long += n_tokens > LONG_TOKENS

    @property
    def tokens_from(self) -> str:
        """What the token figures are known from: `tokenizer`, `usage`, `mixed` or `none`."""
        return "mixed" if len(self.sources) > 1 else next(iter(self.sources), "none")

    def as_json(self) -> Json:
        """Return the statistics: of no rows only the errors; of rows whose tokens are not known null, never zero."""
        errors = self.errors.as_json() | {
            "by_scaffold": {name: each.as_json() for name, each in sorted(self.errors_by_scaffold.items())}
        }
        return (self._of_rows() if self.n_rows else {}) | {"tool_call_errors": errors}

    def _of_rows(self) -> Json:
        has_tokens = self.tokens.count > 0
        stats: Json = {
            "count": self.n_rows,
            "total_tokens": self.tokens.total if has_tokens else None,
            "token_lens": self.tokens.as_json() | {"gt_128k": self.n_long} if has_tokens else None,
            "tokens_from": self.tokens_from,
            "rows_without_tokens": self.n_without_tokens,
            "rows_cut": self.n_cut,
            "n_turns": self.turns.as_json() | {"gte_100": self.n_many_turns},
        }
        return stats | ({"scores": self.scores.as_json_of_shares()} if self.scores.count else {})


def _rate(n: int, of: int) -> float:
    return round(n / of, 6) if of else 0.0
