"""Whether LiteLLM knows what a model costs, from the list that it ships; nothing is imported or fetched."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson

from trajgen_assets.core.config.llm_api import LlmApi

PRICE_LIST = "model_prices_and_context_window_backup.json"


def has_price(api: LlmApi) -> bool:
    """Whether every call of this model has a known price: set in the configuration, or known to LiteLLM."""
    if api.input_cost_per_token is not None and api.output_cost_per_token is not None:
        return True
    return all(_is_listed(endpoint.model) for endpoint in api.pool)


def _is_listed(model: str) -> bool:
    known = _price_list()
    entries = (known.get(name) for name in (model, model.partition("/")[2]))
    return any(isinstance(entry, dict) and entry.get("input_cost_per_token") is not None for entry in entries)


@cache
def _price_list() -> dict[str, Any]:
    spec = find_spec("litellm")
    if spec is None or spec.origin is None:
        return {}
    listed: dict[str, Any] = orjson.loads(Path(spec.origin).with_name(PRICE_LIST).read_bytes())
    return listed
