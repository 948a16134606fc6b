"""Whether a model's calls have a price."""

from trajgen_assets.core.config.llm_api import LlmApi
from trajgen_assets.core.config.model_list import entries_of


def has_price(api: LlmApi) -> bool:
    """Whether every call of this model has a known price: set in the configuration, or known to LiteLLM."""
    if api.input_cost_per_token is not None and api.output_cost_per_token is not None:
        return True
    return all(_is_listed(endpoint.model) for endpoint in api.pool)


def _is_listed(model: str) -> bool:
    return any(entry.get("input_cost_per_token") is not None for entry in entries_of(model))
