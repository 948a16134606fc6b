"""Trajectory records, read one line at a time: what was asked, what was answered.

The file holds one JSON object a line for each model call, with the whole request in each. It is read
leniently where the reader does not depend on it, and the trial is rejected where it does.
"""

import hashlib
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import eq
from pathlib import Path
from typing import Any

import orjson
import zstandard

from trajgen_assets.core.capture.stored import BLOCK_BYTES, UNREADABLE, opened
from trajgen_assets.core.sft.messages import Json
from trajgen_assets.core.sft.reasons import Reason, TrialRejectedError
from trajgen_assets.core.sft.repeats import LineParser

_GEN_PARAMS = (
    "model",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "seed",
    "reasoning_effort",
)


# A context of a million tokens takes about 5 MB. What is far beyond that is no model call, and would fill the memory.
LONGEST_LINE_BYTES = 64 << 20


@dataclass(frozen=True)
class Place:
    """Where a record lies in its file. `line` counts from 1; the others are bytes."""

    line: int
    offset: int
    size_bytes: int


@dataclass(frozen=True)
class Exchange:
    """One whole model call: the messages sent, and the model's answer exactly as it came.

    `session` is the one that the client named; a call of a subagent has another than its agent's own. So many messages
    as `n_repeated` says are those with which the call began that it was compared with; a first system message counts
    among them whatever it says.
    """

    history: list[Json]
    answer: Json
    tools: list[Json]
    model: str | None
    gen_params: Json
    usage: Json | None
    timestamp: str | None
    session: str | None
    n_repeated: int = 0


class Lines:
    """The lines of an open trajectory, which are digested as they are read."""

    def __init__(self, file: io.BufferedReader) -> None:
        self._file = file
        self._digest = hashlib.sha256()

    def __iter__(self) -> Iterator[tuple[Place, bytes]]:
        """Yield the place and the bytes of each line that is not blank.

        Raises:
            TrialRejectedError: a line is longer than any model call. What is left of it has not been read then.
        """
        offset = 0
        for line, raw in enumerate(iter(lambda: self._file.readline(LONGEST_LINE_BYTES + 1), b""), start=1):
            self._digest.update(raw)
            if len(raw) > LONGEST_LINE_BYTES:
                why = f"it is longer than {LONGEST_LINE_BYTES >> 20} MiB"
                raise TrialRejectedError(Reason.BROKEN_LINE, where=f"line {line}", why=why)
            if not raw.isspace():
                yield Place(line, offset, len(raw)), raw
            offset += len(raw)

    def sha256(self) -> str:
        """Return the digest of the whole file in hex, reading what is left of it; `UNREADABLE` where it is damaged."""
        try:
            while block := self._file.read(BLOCK_BYTES):
                self._digest.update(block)
        except zstandard.ZstdError:
            return UNREADABLE
        return self._digest.hexdigest()


def read_records(lines: Lines, *, torn_tail_ok: bool) -> Iterator[tuple[Place, Json]]:
    """Yield the records of a trajectory, one a line; `torn_tail_ok` lets the last be incomplete, as a cut leaves it.

    Raises:
        TrialRejectedError: a line is not an object in JSON.
    """
    parser = LineParser()
    for place, raw in lines:
        record = _parse(parser, place, raw, torn_ok=torn_tail_ok and not raw.endswith(b"\n"))
        if record is not None:
            yield place, record


def reread(path: Path, places: Iterable[Place]) -> Iterator[Exchange]:
    """Yield the whole calls at `places` again, which are in recorded order: a compressed file is unpacked once for all.

    Raises:
        TrialRejectedError: what is there now is no whole call.
    """
    with opened(path) as file:
        for place in places:
            file.seek(place.offset)
            exchange = exchange_of(orjson.loads(file.read(place.size_bytes)), place)
            if exchange is None:
                why = "it changed while read"
                raise TrialRejectedError(Reason.TRAJECTORY_CHANGED, where=f"line {place.line}", why=why)
            yield exchange


def exchange_of(record: Json, place: Place, before: list[Json] | None = None) -> Exchange | None:
    """Return what a record exchanged, or None when the call failed or its client did not wait for the answer.

    Args:
        record: one line.
        place: where it stands.
        before: the history of an earlier call, whose messages need no look when this one repeats them.

    Raises:
        TrialRejectedError: the record claims success, and its request or answer has not the shape of messages.
    """
    if record.get("success") is not True or record.get("client_disconnected") is True:
        return None
    request, response = _object(record, "request_body", place), _object(record, "response_body", place)
    history = _listed(request.get("messages"), place)
    n_repeated = _n_repeated(history, before or [])
    _check(history, n_repeated, place)
    return Exchange(
        history=history,
        answer=_answer(response, place),
        tools=request["tools"] if isinstance(request.get("tools"), list) else [],
        model=response.get("model") if isinstance(response.get("model"), str) else None,
        gen_params={key: request[key] for key in _GEN_PARAMS if request.get(key) is not None},
        usage=record["usage"] if isinstance(record.get("usage"), dict) else None,
        timestamp=record["timestamp"] if isinstance(record.get("timestamp"), str) else None,
        session=session_of(record),
        n_repeated=n_repeated,
    )


def session_of(record: Json) -> str | None:
    """Return the session that the client named."""
    session = record.get("client_session_id")
    return session if isinstance(session, str) else None


def _parse(parser: LineParser, place: Place, raw: bytes, *, torn_ok: bool) -> Json | None:
    try:
        record = parser.parse(raw)
    except orjson.JSONDecodeError as error:
        if torn_ok:
            return None
        raise TrialRejectedError(Reason.BROKEN_LINE, where=f"line {place.line}", why=error.msg) from error
    if not isinstance(record, dict):
        raise TrialRejectedError(Reason.BROKEN_LINE, where=f"line {place.line}", why="it is not an object")
    return record


def _object(record: Json, key: str, place: Place) -> Json:
    value = record.get(key)
    if not isinstance(value, dict):
        raise _malformed(place, f"{key} is not an object")
    return value


def _answer(response: Json, place: Place) -> Json:
    choices = response.get("choices")
    if not choices:
        raise _malformed(place, "the answer has no choices")
    message = choices[0].get("message") if isinstance(choices, list) and isinstance(choices[0], dict) else None
    if not isinstance(message, dict) or message.get("role", "assistant") != "assistant":
        raise _malformed(place, "the answer is not a message of an assistant")
    if fault := call_fault(message):
        raise _malformed(place, f"the answer {fault}")
    return message | {"role": "assistant"}


def _listed(value: Any, place: Place) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise _malformed(place, "the request holds no messages")
    return value


def _n_repeated(history: list[Any], before: list[Json]) -> int:
    """Compare without a step of Python for each message: a request has hundreds, and a trial hundreds of requests."""
    is_led = _is_system(history[:1]) and _is_system(before[:1])
    same = [*map(eq, history, before)]
    same[:is_led] = [True] * is_led
    return same.index(False) if False in same else len(same)


def _is_system(first: list[Any]) -> bool:
    return bool(first) and isinstance(first[0], dict) and first[0].get("role") == "system"


def _check(history: list[Any], n_known: int, place: Place) -> None:
    """Raise unless the first message, and each one after those that are known, has the shape of one."""
    for index in (0, *range(max(1, n_known), len(history))):
        message = history[index]
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise _malformed(place, f"message {index} has no role")
        if fault := call_fault(message):
            raise _malformed(place, f"message {index} {fault}")


def call_fault(message: Json) -> str | None:
    """Return what is wrong with the shape of a message's calls, or with the id of the call that it answers."""
    calls = message.get("tool_calls")
    if calls is not None and not (isinstance(calls, list) and all(isinstance(call, dict) for call in calls)):
        return "has calls that are no list of objects"
    return None if isinstance(message.get("tool_call_id"), str | None) else "answers a call whose id is no text"


def _malformed(place: Place, why: str) -> TrialRejectedError:
    return TrialRejectedError(Reason.MALFORMED_RECORD, where=f"line {place.line}", why=why)
