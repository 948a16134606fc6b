"""From calls to conversations: each request repeats what went before, so what is new in it says what happened since.

A call goes on from the answer that its request holds. So each answer is a turn of a conversation, and what a later
request holds beyond it is what followed. A conversation is held by the last of its turns only, which waits for that.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trajgen_assets.core.dashboard.trajectory.calls import Answered, read_calls
from trajgen_assets.core.dashboard.trajectory.model import Entry, FailedCall, Kind, Opening, Turn, Unreadable
from trajgen_assets.core.dashboard.trajectory.turns import messages_of, turn_of, without_known
from trajgen_assets.core.sft.branches import CallTree, next_key
from trajgen_assets.core.sft.encoding import UnencodableError
from trajgen_assets.core.sft.messages import Json
from trajgen_assets.core.sft.records import session_of
from trajgen_assets.core.sft.scaffolds import SCAFFOLDS
from trajgen_assets.core.sft.scaffolds.recorded import RecordedScaffold, tool_names


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A turn whose observations are not known yet. Of its call all is gone that an earlier one had already."""

    call: Answered
    conversation: int
    number: int
    asked: bytes
    answer: bytes


@dataclass
class Reader:
    """Reads one trajectory. When `entries` is used up, `openings` and `row_numbers` are complete.

    Attributes:
        scaffold: the harness as trials.json names it; one that is not known is read as any agent that calls tools.
        openings: how each conversation began, in the order of their first answers.
    """

    scaffold: str
    openings: list[Opening] = field(default_factory=list)
    _tree: CallTree = field(default_factory=CallTree)
    _tails: dict[int, _Waiting] = field(default_factory=dict)
    _answers: dict[bytes, tuple[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = SCAFFOLDS.get(self.scaffold)
        self._rules = known if isinstance(known, RecordedScaffold) else RecordedScaffold()

    def entries(self, trajectory: Path) -> Iterator[Entry]:
        """Yield turns, each as soon as what followed it is known, and what is no turn, in the order of the file."""
        for call in read_calls(trajectory, self._latest):
            if isinstance(call, FailedCall | Unreadable):
                yield call
                continue
            try:
                yield from self._take(call)
            except UnencodableError as error:
                yield Unreadable(call.line, str(error))
        for waiting in self._tails.values():
            yield self._finished(waiting)

    def row_numbers(self) -> dict[int, int]:
        """Line of each call that ends a conversation, to the number by which the converter's rows call that one."""
        return {end.place.line: number for number, end in enumerate(self._tree.ends())}

    def _latest(self, record: Json) -> list[Json] | None:
        latest = self._tree.latest(session_of(record))
        return latest.exchange.history if latest else None

    def _take(self, call: Answered) -> Iterator[Turn]:
        exchange = call.exchange
        side = self._rules.side_call(exchange)
        keys = self._tree.add(call.place, exchange, side=side).keys
        n_known = next((at + 1 for at in reversed(range(len(keys))) if keys[at] in self._answers), 0)
        before = keys[n_known - 1] if n_known else None
        tail = None if side else self._tail_for(before, keys[-1])
        if tail is None:
            self._open(call, side, n_known, before)
        elif tail.answer == before:
            yield self._finished(tail, exchange.history[n_known:], call)
        else:
            yield self._finished(tail, is_taken=False)
        new = _Waiting(
            call=without_known(call, n_known, tools=tail.call.exchange.tools if tail else None),
            conversation=tail.conversation if tail else len(self.openings),
            number=1 + sum(message["role"] == "assistant" for message in exchange.history),
            asked=keys[-1],
            answer=next_key(keys[-1], exchange.answer),
        )
        if side:
            yield self._finished(new)
        else:
            self._answers[new.answer] = new.conversation, new.number
            self._tails[new.conversation] = new

    def _tail_for(self, before: bytes | None, asked: bytes) -> _Waiting | None:
        """The last turn of the conversation that a call goes on with, or in which it asks the same once more."""
        tails = self._tails.values()
        goes_on = next((each for each in tails if each.answer == before), None)
        return goes_on or next((each for each in tails if each.asked == asked), None)

    def _open(self, call: Answered, side: str | None, n_known: int, before: bytes | None) -> None:
        is_subagent = self._rules.is_subagent(call.exchange, self._tree.main_session)
        opening = Opening(
            conversation=len(self.openings) + 1,
            kind=Kind.SIDE if side else Kind.SUBAGENT if is_subagent else Kind.MAIN,
            label=side or "",
            forked_from=self._answers[before] if before else None,
            messages=tuple(messages_of(call.exchange.history[n_known:])),
            tools=tuple(sorted(tool_names(call.exchange))),
        )
        self.openings.append(opening)

    def _finished(
        self, waiting: _Waiting, following: Sequence[Json] = (), then: Answered | None = None, *, is_taken: bool = True
    ) -> Turn:
        return turn_of(
            waiting.call,
            following,
            then,
            scaffold=self.scaffold,
            conversation=waiting.conversation,
            number=waiting.number,
            is_taken=is_taken,
        )
