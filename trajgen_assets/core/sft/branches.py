"""Which calls of a trial belong to one conversation: the longest prefix decides.

Every request repeats its whole history, so a call is the end of a conversation when no other request goes
on from its answer. Each prefix of messages has a key, chained from the key before it, which finds this out
in time linear in the bytes read. Kept are 16 bytes of a message, thoughts and calls of an answer, and the latest
call of each session: the next one repeats it, and equal messages need no new key.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from trajgen_assets.core.sft.encoding import encode
from trajgen_assets.core.sft.messages import Json, content_text, reasoning_of, split_think
from trajgen_assets.core.sft.reasons import Reason
from trajgen_assets.core.sft.records import Exchange, Place

_THOUGHT_MARK = "__thought__"
_NOT_IN_IDS = re.compile("[^a-zA-Z0-9_-]")


@dataclass(frozen=True)
class Call:
    """One whole call. `history_key` names what was asked, `answer_key` the same with its answer.

    `side` says in a word what a call is that is no part of the agent's work; None for its work.
    """

    place: Place
    history_key: bytes
    answer_key: bytes
    side: str | None


@dataclass(frozen=True)
class End:
    """The last call of a conversation, and why this conversation is to be left out, if it is."""

    place: Place
    reason: Reason | None
    detail: str | None = None


@dataclass(frozen=True)
class Said:
    """What an answer held besides its text, as the model gave it."""

    reasoning: str
    calls: list[Json] = field(default_factory=list)


@dataclass(frozen=True)
class Taken:
    """One whole call, and the key of each prefix of its history."""

    place: Place
    exchange: Exchange
    keys: list[bytes]


class CallTree:
    """The calls of one trial, as far as needed to tell where conversations end and what was said in them."""

    def __init__(self) -> None:
        self._calls: list[Call] = []
        self._asked: set[bytes] = set()
        self._went_on: set[bytes] = set()
        self._said: dict[bytes, Said | None] = {}
        self._latest: dict[str | None, Taken] = {}
        self.main_session: str | None = None

    def latest(self, session: str | None) -> Taken | None:
        """Return the call of a session that was taken in last."""
        return self._latest.get(session)

    def at_hand(self, place: Place) -> Taken | None:
        """Return the call at `place` if it is the latest of its session."""
        return next((taken for taken in self._latest.values() if taken.place == place), None)

    def add(self, place: Place, exchange: Exchange, *, side: str | None) -> Taken:
        """Take in a call, and return it.

        A side call (a summary, a title) never continues a conversation nor supplies its thoughts.

        Args:
            place: where it stands; calls are taken in as they were recorded.
            exchange: the call, compared with `latest` of its session.
            side: what it is in a word when it is no part of the agent's work.
        """
        known = self._latest[exchange.session].keys[: exchange.n_repeated] if exchange.n_repeated else []
        root = known[-1] if known else root_key(exchange.session)
        keys = [*known, *prefix_keys(exchange.history[len(known) :], root)]
        taken = self._latest[exchange.session] = Taken(place, exchange, keys)
        answer_key = next_key(keys[-1], exchange.answer)
        if side is None:
            if not self._asked:
                self.main_session = exchange.session
            self._asked.update(keys)
            self._went_on.update(keys[:-1])
            self._note(answer_key, Said(reasoning_of(exchange.answer), exchange.answer.get("tool_calls") or []))
        self._calls.append(Call(place, keys[-1], answer_key, side))
        return taken

    def ends(self) -> Iterator[End]:
        """Yield the end of each conversation, and each side call, in recorded order.

        An answer that its agent did not keep is superseded: the same was asked again later (a retry), or the
        dialogue went on from the question with another answer in this place.
        """
        last_asked = {call.history_key: call.place for call in self._calls if call.side is None}
        for call in self._calls:
            if call.side is not None:
                yield End(call.place, Reason.SIDE_CALL, call.side)
            elif call.answer_key not in self._asked:
                is_kept = last_asked[call.history_key] == call.place and call.history_key not in self._went_on
                yield End(call.place, None if is_kept else Reason.SUPERSEDED)

    def said(self, answer_key: bytes) -> Said | None:
        """Return what the answer at this position held; None when no call is known to have given it.

        Equal answers at one position with unequal thoughts are None too: which one the agent took cannot be told.
        """
        return self._said.get(answer_key)

    def __len__(self) -> int:
        return len(self._calls)

    def _note(self, answer_key: bytes, said: Said) -> None:
        if self._said.setdefault(answer_key, said) != said:
            self._said[answer_key] = None


def root_key(session: str | None) -> bytes:
    """Return the key of what comes before a session's first message. Equal words in two sessions are two dialogues."""
    return (session or "").encode()


def prefix_keys(messages: Iterable[Json], key: bytes) -> Iterator[bytes]:
    """Yield the key of each non-empty prefix of `messages`, which stand behind the prefix of `key`."""
    for message in messages:
        key = next_key(key, message)
        yield key


def next_key(key: bytes, message: Json) -> bytes:
    """Return the key of a prefix with `message` added to it."""
    return blake2b(key + _canonical(message), digest_size=16).digest()


def _canonical(message: Json) -> bytes:
    """Return what a message says, the same before and after a client resends it.

    A resent answer has lost its reasoning, may have got cache marks or lost space around its text, and may have
    calls that the client tidied up, which keep their ids. The system message is the client's to change: Claude
    Code marks it anew in each request.
    """
    if message["role"] == "system":
        return encode(["system"])
    calls = message.get("tool_calls") or []
    text = content_text(message.get("content")).strip()
    body = split_think(text)[1] if message["role"] == "assistant" else text
    return encode([message["role"], body, _same_id(message.get("tool_call_id")), [_call_name(call) for call in calls]])


def _call_name(call: Json) -> Any:
    """Return what tells a call from others in its place: its id, and without one all of it."""
    return _same_id(call.get("id")) or call.get("function", call)


def _same_id(call_id: Any) -> Any:
    """Return an id as it stays on its way through Anthropic's dialect.

    LiteLLM 1.109 takes what Gemini hangs on it away, and writes `_` for all that Anthropic allows in no id.
    """
    return _NOT_IN_IDS.sub("_", call_id.partition(_THOUGHT_MARK)[0]) if isinstance(call_id, str) else call_id
