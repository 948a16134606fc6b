"""Lines of a trajectory as JSON. What a line repeats of the one before it is compared, and not parsed again.

A request holds its whole history, so that the bytes of a trial grow with the square of its calls. Of a line that has
the same bytes as an earlier one for a run of messages, the rest is parsed with a mark in their place. What JSON may go
on with depends on the bytes before alone: a mark that comes out as the second message stood where messages may stand.
The first message is parsed each time, for some agents change what the system says with each request.
"""

from collections import deque
from dataclasses import dataclass
from json import JSONDecoder
from typing import Any
from uuid import uuid4

import orjson

from trajgen_assets.core.sft.messages import Json

_DECODER = JSONDecoder()
_BLANKS = " \t\r\n"
_KEY = b'"messages"'
_OPENING_BYTES = 96  # by which a run is looked for
_MAX_RUNS = 8  # of dialogues that take turns: an agent's and its subagents'
_MAX_VAIN = 8  # lines in a row that repeat no run: then the agent changes what it repeats, and none is looked for


@dataclass(frozen=True, eq=False)
class _Run:
    """Messages from the second one on: their bytes, themselves, where they began, and what stood behind the last."""

    spelled: bytes
    messages: list[Any]
    at: int
    behind: bytes


class LineParser:
    """Parses the lines of one trajectory to what `orjson.loads` gives. They may share messages, so change none."""

    def __init__(self) -> None:
        self._runs: deque[_Run] = deque(maxlen=_MAX_RUNS)
        self._n_vain = 0
        self._mark = uuid4().hex

    def parse(self, raw: bytes) -> Any:
        """Return the value of a line.

        Raises:
            orjson.JSONDecodeError: it is not JSON.
        """
        for run in self._runs:
            if (record := self._with_run(raw, run)) is not None:
                self._n_vain = 0
                return record
        record = orjson.loads(raw)
        if self._n_vain < _MAX_VAIN and (learnt := _run_of(raw, record)) is not None:
            self._n_vain += 1
            self._runs.appendleft(learnt)
        return record

    def _with_run(self, raw: bytes, run: _Run) -> Json | None:
        """Return the value of a line that repeats `run`, which grows by what comes new; None where that is not sure."""
        at = raw.find(run.spelled[:_OPENING_BYTES], 0, 2 * run.at + _OPENING_BYTES)
        if at < 0 or not raw.startswith(run.spelled, at):
            return None
        new_at = at + len(run.spelled)
        end = raw.find(run.behind, new_at)
        new = _elements(raw[new_at:end]) if end >= 0 else None
        record = _loads(b'%b"%b"%b' % (raw[:at], self._mark.encode(), raw[end:])) if new is not None else None
        messages = _messages_of(record)
        if new is None or messages is None or messages[1:] != [self._mark]:
            return None
        messages[1:] = [*run.messages, *new]
        self._runs.remove(run)
        self._runs.appendleft(_Run(raw[at:end], messages[1:], at, run.behind))
        return record


def _elements(spelled: bytes) -> list[Any] | None:
    """Return what stands between a known message and the end of all: nothing, or a comma and more of them."""
    rest = spelled.strip(_BLANKS.encode())
    if not rest:
        return []
    # Within as much as in a line, so that what is nested too deeply there is so here.
    whole = _loads(b'{"":{"":[%b]}}' % rest[1:]) if rest.startswith(b",") else None
    return whole[""][""] or None if whole else None


def _run_of(raw: bytes, record: Any) -> _Run | None:
    """Return the run of a line, all of whose messages were parsed; None where there is none, or it is not found."""
    messages, array_at = _messages_of(record), raw.find(b"[", raw.find(_KEY))
    if messages is None or len(messages) < 2 or array_at < 0:
        return None
    text = raw[array_at:].decode()
    try:
        _, first_end = _DECODER.raw_decode(text, _skip(text, 1, _BLANKS))
        second = _skip(text, first_end, _BLANKS + ",")
        rest, size = _DECODER.raw_decode("[" + text[second:])
    except (ValueError, RecursionError):
        return None
    at = array_at + len(text[:second].encode())
    end = at + len(text[second : second + size - 2].encode())
    behind = raw[end : raw.find(b":", end) + 1]  # the next key: all that follows may be another each time
    return _Run(raw[at:end], messages[1:], at, behind) if rest == messages[1:] and behind else None


def _skip(text: str, at: int, characters: str) -> int:
    return len(text) - len(text[at:].lstrip(characters))


def _messages_of(record: Any) -> list[Any] | None:
    request = record.get("request_body") if isinstance(record, dict) else None
    messages = request.get("messages") if isinstance(request, dict) else None
    return messages if isinstance(messages, list) else None


def _loads(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
