"""The secrets of this process are taken out of texts, and out of errors before their client sees them.

An upstream may answer with the key that it was given ("no access for token …"), and LiteLLM hands that text on,
into its log, its callbacks and its answer. What the sandboxes may have been given is told to us too, by value and
under one name that LiteLLM reads nothing from. Imports no LiteLLM.
"""

import json
import os
from functools import lru_cache
from typing import Any
from urllib.parse import quote, quote_plus

import httpx

BEGINNINGS = ("TRAJGEN_UPSTREAM_API_KEY", "TRAJGEN_MASTER_KEY")  # an endpoint's key may have a number behind it
OTHERS_NAME = "TRAJGEN_OTHER_SECRET_VALUES"  # a JSON list
MIN_LENGTH = 6  # a shorter one protects nothing, and replacing it would garble every text
MARKER = "[redacted]"
DEEPEST = 20


def without_secrets(text: str) -> str:
    """`text` with every secret that we know blotted out, also where it stands JSON- or URL-encoded."""
    for form in _forms():
        text = text.replace(form, MARKER)
    return text


def holds_secret(line: bytes) -> bool:
    """Whether a line of JSON holds a secret that we know."""
    return any(form.encode("utf-8", "surrogateescape") in line for form in _forms())


def redacted_values(value: Any) -> Any:
    """`value`, as JSON knows values, with our secrets blotted out of each text in it."""
    return _redacted(value)


def redact_error(error: BaseException) -> None:
    """Blot our secrets out of `error` and of every error that it wraps or follows, in place.

    In place, because LiteLLM takes a replacement of the error on some of its routes and ignores it on others, while
    each of them keeps the class, the status and the code of the very object.
    """
    pending, seen = [error], set[int]()
    while pending:
        each = pending.pop()
        if id(each) not in seen:
            seen.add(id(each))
            each.args = _redacted(each.args)
            _redact_fields(each)
            linked = (each.__cause__, each.__context__, *vars(each).values())
            pending += [link for link in linked if isinstance(link, BaseException)]


def _forms() -> list[str]:
    """All spellings, the longest first: a key may begin with another key."""
    own = (value for name, value in os.environ.items() if name.startswith(BEGINNINGS))
    values = [*own, *json.loads(os.environ.get(OTHERS_NAME) or "[]")]
    return _forms_of(tuple(value for value in values if len(value) >= MIN_LENGTH))


@lru_cache(maxsize=8)
def _forms_of(values: tuple[str, ...]) -> list[str]:
    forms = set[str]()
    for value in values:
        forms |= {value, quote(value, safe=""), quote(value), quote_plus(value)}
        forms |= {json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}
    return sorted(forms, key=len, reverse=True)


def _redact_fields(holder: BaseException | httpx.Response) -> None:
    fields = vars(holder)
    for name, value in list(fields.items()):
        if isinstance(value, httpx.Response):
            _redact_fields(value)
        else:
            fields[name] = _redacted(value)


def _redacted(value: Any, depth: int = 0) -> Any:
    """`value` without our secrets; what is no text, and holds none in plain containers, is returned as it is."""
    if isinstance(value, str):
        redacted = without_secrets(value)
        return value if redacted == value else redacted  # a member of an enumeration stays one
    if isinstance(value, bytes):
        return without_secrets(value.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
    if isinstance(value, httpx.Headers):
        return httpx.Headers([(name, without_secrets(each)) for name, each in value.multi_items()])
    if type(value) is dict and depth < DEEPEST:
        return {_redacted(name): _redacted(each, depth + 1) for name, each in value.items()}
    if type(value) in (list, tuple) and depth < DEEPEST:
        return type(value)(_redacted(each, depth + 1) for each in value)
    return value
