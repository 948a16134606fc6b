"""Which calls of a trial belong to one conversation: the longest prefix decides.

Every request repeats its whole history, so a call is the end of a conversation when no other request goes
on from its answer. Each prefix of messages has a key, chained from the key before it, which finds this out
in time linear in the bytes read, and keeps nothing of a message but 16 bytes.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b

from trajgen_assets.core.sft.encoding import encode
from trajgen_assets.core.sft.messages import Json, content_text, reasoning_of, split_think
from trajgen_assets.core.sft.reasons import Reason
from trajgen_assets.core.sft.records import Exchange, Place

_ROOT = b""


@dataclass(frozen=True)
class Call:
    """One whole call. `history_key` names what was asked, `answer_key` the same with its answer."""

    place: Place
    history_key: bytes
    answer_key: bytes
    is_side: bool


@dataclass(frozen=True)
class End:
    """The last call of a conversation, and why this conversation is to be left out, if it is."""

    place: Place
    reason: Reason | None


class CallTree:
    """The calls of one trial, as far as needed to tell where conversations end and what was thought in them."""

    def __init__(self) -> None:
        self._calls: list[Call] = []
        self._asked: set[bytes] = set()
        self._went_on: set[bytes] = set()
        self._reasoning: dict[bytes, str | None] = {}

    def add(self, place: Place, exchange: Exchange, *, is_side: bool) -> None:
        """Take in a call. A side call (a summary, a title) never continues a conversation nor supplies its thoughts."""
        keys = list(prefix_keys(exchange.history))
        answer_key = next_key(keys[-1], exchange.answer)
        self._calls.append(Call(place, keys[-1], answer_key, is_side))
        if not is_side:
            self._asked.update(keys)
            self._went_on.update(keys[:-1])
            self._note_reasoning(answer_key, reasoning_of(exchange.answer))

    def ends(self) -> Iterator[End]:
        """Yield the end of each conversation, and each side call, in recorded order.

        An answer that its agent did not keep is superseded: the same was asked again later (a retry), or the
        dialogue went on from the question with another answer in this place.
        """
        last_asked = {call.history_key: call.place for call in self._calls if not call.is_side}
        for call in self._calls:
            if call.is_side:
                yield End(call.place, Reason.SIDE_CALL)
            elif call.answer_key not in self._asked:
                is_kept = last_asked[call.history_key] == call.place and call.history_key not in self._went_on
                yield End(call.place, None if is_kept else Reason.SUPERSEDED)

    def reasoning(self, answer_key: bytes) -> str | None:
        """Return what was thought before the answer at this position; None when no call is known to have given it.

        Equal answers at one position with unequal thoughts are None too: which one the agent took cannot be told.
        """
        return self._reasoning.get(answer_key)

    def __len__(self) -> int:
        return len(self._calls)

    def _note_reasoning(self, answer_key: bytes, reasoning: str) -> None:
        if self._reasoning.setdefault(answer_key, reasoning) != reasoning:
            self._reasoning[answer_key] = None


def prefix_keys(messages: Iterable[Json]) -> Iterator[bytes]:
    """Yield the key of each non-empty prefix of `messages`."""
    key = _ROOT
    for message in messages:
        key = next_key(key, message)
        yield key


def next_key(key: bytes, message: Json) -> bytes:
    """Return the key of a prefix with `message` added to it."""
    return blake2b(key + _canonical(message), digest_size=16).digest()


def _canonical(message: Json) -> bytes:
    """Return what a message says, the same before and after a client resends it.

    A resent answer has lost its reasoning, and may have got cache marks around its text, so neither counts.
    """
    text = content_text(message.get("content"))
    body = split_think(text)[1] if message["role"] == "assistant" else text
    calls = [call.get("function", call) if isinstance(call, dict) else call for call in message.get("tool_calls") or ()]
    return encode([message["role"], body, message.get("tool_call_id"), calls])
