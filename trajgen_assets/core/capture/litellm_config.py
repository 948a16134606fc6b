"""The configuration that one job's LiteLLM proxy is started with. It names secrets and never holds one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

NUM_RETRIES = 2

# LiteLLM sends the Anthropic and responses APIs of these providers to the upstream's /v1/responses, which a
# chat-only upstream answers with 404, unless this switch is set (https://github.com/BerriAI/litellm/issues/37088).
CHAT_ONLY_PROVIDERS = ("openai", "hosted_vllm")


API_KEY_ENV = "TRAJGEN_UPSTREAM_API_KEY"


@dataclass(frozen=True)
class Endpoint:
    """One of the endpoints that a job's calls go to; what is None is as the upstream has it.

    Attributes:
        name: what records call it.
        model: the name under which it serves the model.
        weight: its share of the tasks, against the weights of the others.
        requests_per_minute: calls in any 60 s.
    """

    name: str
    api_base_url: str
    api_key: str = field(repr=False)
    model: str | None = None
    weight: float = 1.0
    requests_per_minute: int | None = None
    timeout_s: float | None = None


@dataclass(frozen=True)
class Upstream:
    """The model that a job's calls go to, at one endpoint, or at all of `endpoints`.

    `model` is `<provider>/<name>` as LiteLLM writes it, for example `hosted_vllm/Qwen/Qwen3-Coder-30B`. Prices are
    in US dollars a token. `other_secrets` (name to value) are to be in no record, log or answer of the proxy either:
    sandboxes may have been given them. `sampling` is what each call of a trial asks for, whatever its client says.
    `budget` is what calls may take, as `guest/litellm/budgets.py` reads it.
    """

    model: str
    api_base_url: str = ""
    api_key: str = field(default="", repr=False)
    input_cost_per_token: float | None = None
    output_cost_per_token: float | None = None
    timeout_s: float = 600
    other_secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    sampling: Mapping[str, float] = field(default_factory=dict)
    endpoints: Sequence[Endpoint] = ()
    cooldown_s: float = 30.0
    budget: Mapping[str, Any] = field(default_factory=dict)

    @property
    def pool(self) -> Sequence[Endpoint]:
        """The endpoints, one at least."""
        return self.endpoints or (Endpoint("endpoint-1", self.api_base_url, self.api_key),)

    @property
    def key_environ(self) -> dict[str, str]:
        """The environment variable that holds the key of each endpoint, in their order, and the key."""
        return {_key_env(number): endpoint.api_key for number, endpoint in enumerate(self.pool, start=1)}

    @property
    def served_model(self) -> str:
        """The name that agents ask for: the last component of the model."""
        return self.model.rpartition("/")[2]


def litellm_config(upstream: Upstream) -> dict[str, Any]:
    """The proxy's configuration, as it is written to `litellm_config.yaml`.

    Agents that ask for the model with its provider, or with the path of its name, are served too: some scaffolds
    cut the provider off and some do not. Which endpoint a call goes to is our callback's to say; LiteLLM's own
    cool-downs stay off.
    """
    return {
        "model_list": [
            {
                "model_name": upstream.served_model,
                "litellm_params": _deployment(upstream, endpoint, number),
                "model_info": _model_info(upstream, endpoint),
            }
            for number, endpoint in enumerate(upstream.pool, start=1)
        ],
        "litellm_settings": {
            "callbacks": ["trajectory_logger.trajectory_logger", "upstream_router.upstream_router"],
            "drop_params": True,
            "request_timeout": max(endpoint.timeout_s or upstream.timeout_s for endpoint in upstream.pool),
            "use_chat_completions_url_for_anthropic_messages": True,
            "global_disable_no_log_param": True,
            "telemetry": False,
        },
        "router_settings": {
            "num_retries": max(NUM_RETRIES, len(upstream.pool) - 1),
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


def _deployment(upstream: Upstream, endpoint: Endpoint, number: int) -> dict[str, Any]:
    model = endpoint.model or upstream.model
    params: dict[str, Any] = {"model": model, "api_key": f"os.environ/{_key_env(number)}"}
    if endpoint.api_base_url:
        params["api_base"] = endpoint.api_base_url
    params["timeout"] = params["stream_timeout"] = endpoint.timeout_s or upstream.timeout_s
    if model.partition("/")[0] in CHAT_ONLY_PROVIDERS:
        params["use_chat_completions_api"] = True
    prices = {
        "input_cost_per_token": upstream.input_cost_per_token,
        "output_cost_per_token": upstream.output_cost_per_token,
    }
    return params | {name: price for name, price in prices.items() if price is not None}


def _model_info(upstream: Upstream, endpoint: Endpoint) -> dict[str, Any]:
    """What the guest's router reads, in names that LiteLLM gives no meaning to."""
    return {
        "id": endpoint.name,
        "pool_weight": endpoint.weight,
        "pool_requests_per_minute": endpoint.requests_per_minute,
        "pool_cooldown_s": upstream.cooldown_s,
    }


def _key_env(number: int) -> str:
    return API_KEY_ENV if number == 1 else f"{API_KEY_ENV}_{number}"


def _aliases(upstream: Upstream) -> dict[str, dict[str, Any]]:
    names = {upstream.model, upstream.model.partition("/")[2]} - {"", upstream.served_model}
    return {name: {"model": upstream.served_model, "hidden": True} for name in sorted(names)}
