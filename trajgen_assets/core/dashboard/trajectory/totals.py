"""A trajectory in figures, counted while it is read."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from trajgen_assets.core.dashboard.facts.models import known_sum
from trajgen_assets.core.dashboard.trajectory.model import Entry, FailedCall, Figures, Turn, Unreadable

N_UNREADABLE_SHOWN = 20


@dataclass
class Totals:
    """Sums over the entries of one trajectory. A sum of what nobody knows is None, and no 0.

    Attributes:
        n_turns: by conversation.
        last_line: of each conversation.
        unreadable: the first lines that cannot be shown; `n_unreadable` counts all.
        model_ms, tool_ms: time in calls of the model, failed ones too, and between calls of a conversation.
    """

    n_turns: Counter[int] = field(default_factory=Counter)
    last_line: dict[int, int] = field(default_factory=dict)
    n_failed: int = 0
    n_unreadable: int = 0
    unreadable: list[Unreadable] = field(default_factory=list)
    n_errors: int = 0
    n_tool_calls: int = 0
    n_input_tokens: int | None = None
    n_output_tokens: int | None = None
    cost_usd: float | None = None
    model_ms: int | None = None
    tool_ms: int | None = None

    def counting(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        """Pass `entries` on, and count them."""
        for entry in entries:
            self._count(entry)
            yield entry

    def _count(self, entry: Entry) -> None:
        if isinstance(entry, Unreadable):
            self.n_unreadable += 1
            if len(self.unreadable) < N_UNREADABLE_SHOWN:
                self.unreadable.append(entry)
            return
        self.model_ms = known_sum(self.model_ms, entry.figures.duration_ms)
        if isinstance(entry, FailedCall):
            self.n_failed += 1
        else:
            self._count_turn(entry, entry.figures)

    def _count_turn(self, turn: Turn, figures: Figures) -> None:
        self.n_turns[turn.conversation] += 1
        self.last_line[turn.conversation] = turn.line
        self.n_errors += sum(each.is_error for each in turn.observations)
        self.n_tool_calls += len(turn.calls) or len(turn.commands)
        self.n_input_tokens = known_sum(self.n_input_tokens, figures.n_input_tokens)
        self.n_output_tokens = known_sum(self.n_output_tokens, figures.n_output_tokens)
        self.cost_usd = known_sum(self.cost_usd, figures.cost_usd)
        self.tool_ms = known_sum(self.tool_ms, turn.tool_ms)
