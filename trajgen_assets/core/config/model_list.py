"""What LiteLLM knows of a model, from the list that it ships; nothing is imported or fetched."""

from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson

MODEL_LIST = "model_prices_and_context_window_backup.json"


def entries_of(model: str) -> Iterator[dict[str, Any]]:
    """The entries of the list under `provider/name` and under `name`."""
    known = _model_list()
    entries = (known.get(name) for name in dict.fromkeys((model, model.partition("/")[2])))
    return (entry for entry in entries if isinstance(entry, dict))


def max_output_tokens(model: str) -> int | None:
    """The most tokens that `provider/name` writes in one reply; None where that is not known."""
    limits = (entry.get("max_output_tokens") for entry in entries_of(model))
    return next((limit for limit in limits if isinstance(limit, int)), None)


@cache
def _model_list() -> dict[str, Any]:
    spec = find_spec("litellm")
    if spec is None or spec.origin is None:
        return {}
    listed: dict[str, Any] = orjson.loads(Path(spec.origin).with_name(MODEL_LIST).read_bytes())
    return listed
