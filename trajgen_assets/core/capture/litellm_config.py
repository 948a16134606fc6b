"""The configuration that one job's LiteLLM proxy is started with. It names secrets and never holds one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

NUM_RETRIES = 2

# LiteLLM sends the Anthropic and responses APIs of these providers to the upstream's /v1/responses, which a
# chat-only upstream answers with 404, unless this switch is set (https://github.com/BerriAI/litellm/issues/37088).
CHAT_ONLY_PROVIDERS = ("openai", "hosted_vllm")


@dataclass(frozen=True)
class Upstream:
    """The model endpoint that a job's calls go to.

    `model` is `<provider>/<name>` as LiteLLM writes it, for example `hosted_vllm/Qwen/Qwen3-Coder-30B`. Prices are
    in US dollars a token. `other_secrets` (name to value) are to be in no record, log or answer of the proxy either:
    sandboxes may have been given them. `sampling` is what each call of a trial asks for, whatever its client says.
    """

    model: str
    api_base_url: str
    api_key: str = field(repr=False)
    input_cost_per_token: float | None = None
    output_cost_per_token: float | None = None
    timeout_s: float = 600
    other_secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    sampling: Mapping[str, float] = field(default_factory=dict)

    @property
    def provider(self) -> str:
        return self.model.partition("/")[0]

    @property
    def served_model(self) -> str:
        """The name that agents ask for: the last component of the model."""
        return self.model.rpartition("/")[2]


def litellm_config(upstream: Upstream) -> dict[str, Any]:
    """The proxy's configuration, as it is written to `litellm_config.yaml`.

    Agents that ask for the model with its provider, or with the path of its name, are served too: some scaffolds
    cut the provider off and some do not.
    """
    return {
        "model_list": [
            {"model_name": upstream.served_model, "litellm_params": _deployment(upstream)},
        ],
        "litellm_settings": {
            "callbacks": ["trajectory_logger.trajectory_logger"],
            "drop_params": True,
            "request_timeout": upstream.timeout_s,
            "use_chat_completions_url_for_anthropic_messages": True,
            "global_disable_no_log_param": True,
            "telemetry": False,
        },
        "router_settings": {
            "num_retries": NUM_RETRIES,
            "disable_cooldowns": True,
            "model_group_alias": _aliases(upstream),
        },
        "general_settings": {
            "master_key": "os.environ/TRAJGEN_MASTER_KEY",
            "custom_auth": "trial_auth.authenticate",
            "cancel_on_disconnect": True,
            "disable_spend_logs": True,
        },
    }


def _deployment(upstream: Upstream) -> dict[str, Any]:
    params: dict[str, Any] = {"model": upstream.model, "api_key": "os.environ/TRAJGEN_UPSTREAM_API_KEY"}
    if upstream.api_base_url:
        params["api_base"] = upstream.api_base_url
    params["timeout"] = params["stream_timeout"] = upstream.timeout_s
    if upstream.provider in CHAT_ONLY_PROVIDERS:
        params["use_chat_completions_api"] = True
    prices = {
        "input_cost_per_token": upstream.input_cost_per_token,
        "output_cost_per_token": upstream.output_cost_per_token,
    }
    return params | {name: price for name, price in prices.items() if price is not None}


def _aliases(upstream: Upstream) -> dict[str, dict[str, Any]]:
    names = {upstream.model, upstream.model.partition("/")[2]} - {"", upstream.served_model}
    return {name: {"model": upstream.served_model, "hidden": True} for name in sorted(names)}
