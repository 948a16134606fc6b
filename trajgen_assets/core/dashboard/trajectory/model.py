"""What a page shows of a trajectory, as data. Texts are whole here; what a page cuts is the page's affair."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """Whose conversation it is."""

    MAIN = "main"
    SUBAGENT = "subagent"
    SIDE = "side"


@dataclass(frozen=True, slots=True)
class Figures:
    """What one call took. Times are milliseconds, the start since the epoch; None is not known, and never 0."""

    began_at_ms: int | None
    duration_ms: int | None
    first_token_ms: int | None
    n_input_tokens: int | None
    n_output_tokens: int | None
    n_cached_tokens: int | None
    n_reasoning_tokens: int | None
    cost_usd: float | None

    @property
    def ended_at_ms(self) -> int | None:
        """When its reply was whole."""
        known = self.began_at_ms is not None and self.duration_ms is not None
        return self.began_at_ms + self.duration_ms if known else None  # type: ignore[operator]


@dataclass(frozen=True, slots=True)
class Message:
    """What somebody other than the model said: the system, the user, a tool, or a model in a call not on record."""

    role: str
    text: str
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call of a tool, with what came back, matched by its id; None where nothing did."""

    name: str
    arguments: str
    result: Message | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """One answer of the model, and what followed until its next.

    Attributes:
        conversation: its conversation, from 1.
        number: how many answers the model had given in this conversation with this one, as rows and flags count.
        line: where the call stands in the trajectory, from 1.
        said: what a scaffold without tools reads out of the text as words; `commands` as commands.
        following: what followed and is no result of one of its calls.
        tool_ms: from the end of the reply to the next call of the conversation; None for the last.
        is_taken: false where the agent went on with another answer in this place.
        is_cut: a limit ended the answer.
        raw: the record, without the messages that the call before it had already.
    """

    conversation: int
    number: int
    line: int
    model: str | None
    upstream: str | None
    finish_reason: str | None
    figures: Figures
    reasoning: str
    text: str
    calls: tuple[ToolCall, ...]
    said: str
    commands: tuple[str, ...]
    following: tuple[Message, ...]
    tool_ms: int | None
    is_taken: bool
    is_cut: bool
    raw: Mapping[str, Any]

    @property
    def has_error(self) -> bool:
        """Whether something that it did came back as an error, by the rules of the score."""
        return any(each.is_error for each in self.observations)

    @property
    def observations(self) -> tuple[Message, ...]:
        """Everything that followed it."""
        return (*(call.result for call in self.calls if call.result), *self.following)


@dataclass(frozen=True, slots=True)
class FailedCall:
    """A try of a model call that gave no whole reply."""

    line: int
    status_code: int | None
    error: str
    message: str
    figures: Figures
    raw: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A line of the trajectory that cannot be shown, and why."""

    line: int
    why: str


Entry = Turn | FailedCall | Unreadable


@dataclass(frozen=True, slots=True)
class Opening:
    """What a conversation began with, before the model's first answer in it.

    Attributes:
        label: of a side call, what it is (`title`, `summary`); else empty.
        forked_from: conversation and turn that it went on from beside another; None where it began by itself.
        tools: names of the tools that were offered.
    """

    conversation: int
    kind: Kind
    label: str
    forked_from: tuple[int, int] | None
    messages: tuple[Message, ...]
    tools: tuple[str, ...]
