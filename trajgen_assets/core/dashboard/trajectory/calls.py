"""The calls of a trajectory, each read for itself: what cannot be read is told, and the rest is shown all the same.

The converter takes a trial as a whole or not at all; a person who looks for what went wrong wants the rest, too.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import zstandard

from trajgen_assets.core.capture.records import Line, iter_lines
from trajgen_assets.core.capture.stored import opened
from trajgen_assets.core.dashboard.trajectory.model import FailedCall, Figures, Unreadable
from trajgen_assets.core.sft.messages import Json
from trajgen_assets.core.sft.reasons import TrialRejectedError
from trajgen_assets.core.sft.records import LONGEST_LINE_BYTES, Exchange, Place, exchange_of
from trajgen_assets.core.sft.repeats import LineParser

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


Before = Callable[[Json], list[Json] | None]


@dataclass(frozen=True, slots=True)
class Answered:
    """A call with a whole reply, and all else that its record says."""

    place: Place
    exchange: Exchange
    figures: Figures
    upstream: str | None
    finish_reason: str | None
    record: Json

    @property
    def line(self) -> int:
        return self.place.line


def read_calls(trajectory: Path, before: Before) -> Iterator[Answered | FailedCall | Unreadable]:
    """Yield every line of a trajectory, plain or compressed, in recorded order; one record in memory at a time.

    Args:
        trajectory: the plain file, which may be there compressed.
        before: gives the history of an earlier call that a record is to be compared with.
    """
    number, parse = 0, LineParser().parse
    try:
        with opened(trajectory) as file:
            for line in iter_lines(file, longest_bytes=LONGEST_LINE_BYTES, parse=parse):
                number = line.number
                yield _call(line, before)
    except (zstandard.ZstdError, OSError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error  # without the path
        yield Unreadable(number + 1, f"the file cannot be read from here on: {why}")


def _call(line: Line, before: Before) -> Answered | FailedCall | Unreadable:
    record = line.value if line.value is not None else _leniently(line.data)
    if not isinstance(record, dict):
        return Unreadable(line.number, _why_no_record(line))
    figures = _figures(record)
    place = Place(line.number, 0, len(line.data))
    try:
        exchange = exchange_of(record, place, before(record))
    except TrialRejectedError as error:
        return Unreadable(line.number, error.why or "it is no record of a call")
    if exchange is None:
        return _failed(line.number, record, figures)
    return Answered(place, exchange, figures, _text(record.get("upstream")), _finish_reason(record), record)


def _leniently(data: bytes) -> Any:
    """What Python's own reader makes of JSON that the stricter one refuses: numbers that are none, half characters."""
    try:
        value = json.loads(data, parse_constant=str)
        text = json.dumps(value, ensure_ascii=False)
        return orjson.loads(_LONE_SURROGATE.sub(lambda found: f"\\\\u{ord(found[0]):04x}", text))
    except (ValueError, RecursionError):
        return None


def _why_no_record(line: Line) -> str:
    if len(line.data) > LONGEST_LINE_BYTES:
        return f"it is longer than {LONGEST_LINE_BYTES >> 20} MiB"
    return "it ends in the middle: its writer was stopped" if line.is_cut_off else "it is no JSON object, or too deep"


def _failed(line: int, record: Json, figures: Figures) -> FailedCall:
    failure = _object(record.get("failure"))
    left = "the client left before the reply was whole" if record.get("client_disconnected") is True else ""
    return FailedCall(
        line=line,
        status_code=_integer(failure.get("status_code")),
        error=_text(failure.get("error_type")) or ("client_disconnected" if left else "failed"),
        message=_text(failure.get("message")) or left,
        figures=figures,
        raw=record | {"request_body": "left out: the calls around it show what was sent"},
    )


def _figures(record: Json) -> Figures:
    usage = _object(record.get("usage"))
    return Figures(
        began_at_ms=_integer(record.get("request_time")),
        duration_ms=_integer(record.get("duration_ms")),
        first_token_ms=_integer(record.get("ttft_ms")),
        n_input_tokens=_integer(usage.get("prompt_tokens")),
        n_output_tokens=_integer(usage.get("completion_tokens")),
        n_cached_tokens=_integer(_object(usage.get("prompt_tokens_details")).get("cached_tokens")),
        n_reasoning_tokens=_integer(_object(usage.get("completion_tokens_details")).get("reasoning_tokens")),
        cost_usd=_number(usage.get("cost")) or None,  # LiteLLM says 0 where it knows no price
    )


def _finish_reason(record: Json) -> str | None:
    return _text(record["response_body"]["choices"][0].get("finish_reason"))  # there is a choice: it was exchanged


def _object(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _integer(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
