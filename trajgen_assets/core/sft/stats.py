"""`lf.stats.json`: what is in an LF file, counted while it is written."""

from dataclasses import dataclass, field

from trajgen_assets.core.sft.im import assistant_turns
from trajgen_assets.core.sft.messages import Json

TOKEN_SOURCE = "recorded_usage"  # noqa: S105 - tokens of text, not of access
LONG_TOKENS = 131072
LONG_TURNS = 100


@dataclass
class Spread:
    """Smallest, largest and mean of integers seen one by one, and how many passed a mark."""

    count: int = 0
    total: int = 0
    smallest: int = 0
    largest: int = 0

    def add(self, value: int) -> None:
        """Take in one value."""
        self.smallest = min(self.smallest, value) if self.count else value
        self.largest = max(self.largest, value)
        self.count += 1
        self.total += value

    def as_json(self) -> Json:
        """Return max, min and mean, the mean cut to an integer."""
        return {"max": self.largest, "min": self.smallest, "mean": self.total // self.count if self.count else 0}


@dataclass
class LfStats:
    """Counts over the rows of one LF file. Tokens are those that the endpoint counted in the last call of a row."""

    n_rows: int = 0
    n_without_usage: int = 0
    n_long: int = 0
    n_many_turns: int = 0
    tokens: Spread = field(default_factory=Spread)
    turns: Spread = field(default_factory=Spread)

    def add(self, im: Json) -> None:
        """Take in one row."""
        n_turns, n_tokens = len(assistant_turns(im["messages"])), n_tokens_of(im)
        self.n_rows += 1
        self.turns.add(n_turns)
        self.n_many_turns += n_turns >= LONG_TURNS
        if n_tokens is None:
            self.n_without_usage += 1
        else:
            self.tokens.add(n_tokens)
            self.n_long += n_tokens > LONG_TOKENS

    def as_json(self) -> Json:
        """Return the statistics. What was not measured is null, never zero."""
        return {
            "count": self.n_rows,
            "total_tokens": self.tokens.total,
            "token_source": TOKEN_SOURCE,
            "rows_without_usage": self.n_without_usage,
            "token_lens": self.tokens.as_json() | {"gt_128k": self.n_long},
            "n_turns": self.turns.as_json() | {"gte_100": self.n_many_turns},
            "scores": None,
            "tool_call_errors": None,
        }


def n_tokens_of(im: Json) -> int | None:
    """Return the length of a row in tokens as the endpoint counted it: prompt and answer of its last call."""
    usage = im["meta_info"]["unique_info"].get("_usage") or {}
    parts = [usage.get("prompt_tokens"), usage.get("completion_tokens")]
    numbers = [part for part in parts if isinstance(part, int)]
    return sum(numbers) if len(numbers) == len(parts) else None
