import pytest
import yaml

from trajgen_assets.core.capture.litellm_config import Upstream, litellm_config

SECRET = "sk-upstream-secret"


def _config(model: str, **more: float) -> dict:
    return litellm_config(Upstream(model, "http://upstream.test/v1", SECRET, **more))


def test_no_secret_is_in_it() -> None:
    assert SECRET not in yaml.safe_dump(_config("openai/m"))
    assert SECRET not in repr(Upstream("openai/m", "", SECRET))


@pytest.mark.parametrize(
    ("model", "served", "aliases"),
    [
        ("openai/m", "m", ["openai/m"]),
        ("hosted_vllm/org/m", "m", ["hosted_vllm/org/m", "org/m"]),
        ("m", "m", []),
    ],
)
def test_the_model_is_served_by_its_last_name_and_answers_to_the_others(
    model: str, served: str, aliases: list[str]
) -> None:
    config = _config(model)
    assert [each["model_name"] for each in config["model_list"]] == [served]
    assert config["model_list"][0]["litellm_params"]["model"] == model
    assert list(config["router_settings"]["model_group_alias"]) == aliases


@pytest.mark.parametrize(
    ("provider", "switched"),
    [("openai", True), ("hosted_vllm", True), ("custom_openai", False), ("anthropic", False)],
)
def test_every_api_is_sent_to_chat_completions_where_litellm_would_not(provider: str, switched: bool) -> None:
    config = _config(f"{provider}/m")
    assert config["model_list"][0]["litellm_params"].get("use_chat_completions_api", False) is switched
    assert config["litellm_settings"]["use_chat_completions_url_for_anthropic_messages"] is True


def test_prices_are_given_only_where_they_are_known() -> None:
    assert "input_cost_per_token" not in _config("openai/m")["model_list"][0]["litellm_params"]
    priced = _config("openai/m", input_cost_per_token=0.0, output_cost_per_token=2e-6)
    params = priced["model_list"][0]["litellm_params"]
    assert (params["input_cost_per_token"], params["output_cost_per_token"]) == (0.0, 2e-6)


def test_an_upstream_without_an_address_is_the_providers_own() -> None:
    config = litellm_config(Upstream("anthropic/claude", "", SECRET))
    assert "api_base" not in config["model_list"][0]["litellm_params"]
