"""JSON out of whatever a model, an upstream or LiteLLM put into a call. Standard library, orjson and httpx."""

import math
import re
from collections.abc import Mapping
from typing import Any

import orjson
from known_secrets import MARKER, holds_secret, redacted_values, without_secrets

MAX_TEXT = 2000
DEEPEST = 100  # orjson gives up at 254 levels; nothing that a model reads is nested half as deep
KEY_SHAPED = re.compile(r"(?i)\bsk-[A-Za-z0-9_.-]{6,}|bearer\s+\S+")


def encode(value: Mapping[str, Any]) -> bytes:
    """`value` as one line of JSON without a newline.

    Lone surrogates become U+FFFD, NaN and infinities null, integers beyond 64 bits floats, foreign objects text.
    """
    try:
        return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)
    except (TypeError, ValueError, RecursionError):
        return orjson.dumps(tame(value))


def encode_without_secrets(value: Mapping[str, Any]) -> bytes:
    """As `encode`; of a value that holds one of our secrets, in whatever an upstream or a client said, the rest."""
    line = encode(value)
    if not holds_secret(line):
        return line
    line = orjson.dumps(redacted_values(orjson.loads(line)))
    return without_secrets(line.decode()).encode() if holds_secret(line) else line  # deeper than anyone nests


def canonical(value: Mapping[str, Any]) -> bytes:
    """`value` as JSON with sorted keys: equal bytes for equal values."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)  # walking through a large history costs as much again
    except (TypeError, ValueError, RecursionError):
        return orjson.dumps(tame(value), option=orjson.OPT_SORT_KEYS)


def bounded_text(value: Any) -> str:
    """`value` as text of at most 2,000 characters, with our secrets and anything key-shaped blotted out."""
    return KEY_SHAPED.sub(MARKER, without_secrets(str(value)))[:MAX_TEXT]


def tame(value: Any, depth: int = 0) -> Any:
    """`value` made of what orjson takes, and of nothing else."""
    if depth > DEEPEST:
        return _text(bounded_text(value))
    if isinstance(value, Mapping):
        return {_text(str(key)): tame(each, depth + 1) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [tame(each, depth + 1) for each in value]
    if hasattr(value, "model_dump"):
        return tame(value.model_dump(exclude_none=True), depth + 1)
    return _scalar(value)


def _scalar(value: Any) -> Any:
    if isinstance(value, str):
        return _text(value)
    if value is None or isinstance(value, bool):
        return value
    return _number(value) if isinstance(value, int | float) else _text(bounded_text(value))


def _text(value: str) -> str:
    # By way of UTF-16, so that a surrogate pair becomes its character and a lone one becomes one U+FFFD.
    return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _number(value: float) -> float | None:
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return value
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None
