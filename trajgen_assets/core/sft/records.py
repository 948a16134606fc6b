"""Trajectory records, read one line at a time: what was asked, what was answered.

The file holds one JSON object a line for each model call, with the whole request in each. It is read
leniently where the reader does not depend on it, and the trial is rejected where it does.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from json import JSONDecoder
from pathlib import Path
from typing import Any

import orjson

from trajgen_assets.core.capture.stored import opened
from trajgen_assets.core.sft.messages import Json
from trajgen_assets.core.sft.reasons import Reason, TrialRejectedError

_DECODER = JSONDecoder()
_RESPONSE = b'"response_body"'
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

    `session` is the one that the client named; a call of a subagent has another than its agent's own.
    """

    history: list[Json]
    answer: Json
    tools: list[Json]
    model: str | None
    gen_params: Json
    usage: Json | None
    timestamp: str | None
    session: str | None


def read_exchanges(path: Path, *, torn_tail_ok: bool) -> Iterator[tuple[Place, Exchange]]:
    """Yield the whole calls of a trajectory in recorded order; failed and abandoned calls are passed over.

    Args:
        path: a trajectory in JSON lines, compressed or not.
        torn_tail_ok: let the last line be incomplete, as a cut capture may leave it.

    Raises:
        TrialRejectedError: a line is not JSON, or a successful record does not have the shape of one.
    """
    for place, raw in _lines(path):
        record = _parse(place, raw, torn_ok=torn_tail_ok and not raw.endswith(b"\n"))
        if record is not None and (exchange := exchange_of(record, place)) is not None:
            yield place, exchange


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


def read_responses(path: Path) -> Iterator[Json]:
    """Yield `response_body` of each call that has one, also of failed ones, without parsing what was sent.

    Lines of any other shape are passed over: `read_exchanges` tells what is wrong with them.
    """
    for _, raw in _lines(path):
        at = raw.rfind(_RESPONSE)  # within a text its quotes would be escaped
        if at < 0:
            continue
        text = raw[at + len(_RESPONSE) :].decode(errors="replace").lstrip(" \t:")
        with suppress(ValueError, RecursionError):
            response, _ = _DECODER.raw_decode(text)
            if isinstance(response, dict):
                yield response


def exchange_of(record: Json, place: Place) -> Exchange | None:
    """Return what a record exchanged, or None when the call failed or its client did not wait for the answer.

    Raises:
        TrialRejectedError: the record claims success, and its request or answer has not the shape of messages.
    """
    if record.get("success") is not True or record.get("client_disconnected") is True:
        return None
    request, response = _object(record, "request_body", place), _object(record, "response_body", place)
    return Exchange(
        history=_messages(request.get("messages"), place),
        answer=_answer(response, place),
        tools=request["tools"] if isinstance(request.get("tools"), list) else [],
        model=response.get("model") if isinstance(response.get("model"), str) else None,
        gen_params={key: request[key] for key in _GEN_PARAMS if request.get(key) is not None},
        usage=record["usage"] if isinstance(record.get("usage"), dict) else None,
        timestamp=record["timestamp"] if isinstance(record.get("timestamp"), str) else None,
        session=record["client_session_id"] if isinstance(record.get("client_session_id"), str) else None,
    )


def _lines(path: Path) -> Iterator[tuple[Place, bytes]]:
    offset = 0
    with opened(path) as file:
        for line, raw in enumerate(iter(lambda: file.readline(LONGEST_LINE_BYTES + 1), b""), start=1):
            if len(raw) > LONGEST_LINE_BYTES:
                why = f"it is longer than {LONGEST_LINE_BYTES >> 20} MiB"
                raise TrialRejectedError(Reason.BROKEN_LINE, where=f"line {line}", why=why)
            if raw.strip():
                yield Place(line, offset, len(raw)), raw
            offset += len(raw)


def _parse(place: Place, raw: bytes, *, torn_ok: bool) -> Json | None:
    try:
        record = orjson.loads(raw)
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


def _messages(value: Any, place: Place) -> list[Json]:
    if not isinstance(value, list) or not value:
        raise _malformed(place, "the request holds no messages")
    for index, message in enumerate(value):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise _malformed(place, f"message {index} has no role")
        if fault := call_fault(message):
            raise _malformed(place, f"message {index} {fault}")
    return value


def call_fault(message: Json) -> str | None:
    """Return what is wrong with the shape of a message's calls, or with the id of the call that it answers."""
    calls = message.get("tool_calls")
    if calls is not None and not (isinstance(calls, list) and all(isinstance(call, dict) for call in calls)):
        return "has calls that are no list of objects"
    return None if isinstance(message.get("tool_call_id"), str | None) else "answers a call whose id is no text"


def _malformed(place: Place, why: str) -> TrialRejectedError:
    return TrialRejectedError(Reason.MALFORMED_RECORD, where=f"line {place.line}", why=why)
