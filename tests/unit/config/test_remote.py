"""Sandboxes that are elsewhere, as the configuration names them: their settings, and their way to the proxy."""

from typing import Any

import pytest

from tests.unit.config.test_config import config_of
from trajgen_assets.core.config.remote import filled_url
from trajgen_assets.core.errors import ConfigError

MODAL = {"harbor_job": {"environment": "modal"}, "agent": {"name": "claude-code"}}


def refused(**inputs: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        config_of(input=inputs)
    return str(caught.value)


def test_an_agent_inside_a_remote_sandbox_needs_an_address_of_the_proxy() -> None:
    assert "set litellm_proxy.public_url to an address at which sandboxes of modal reach" in refused(**MODAL)
    config_of(input={**MODAL, "litellm_proxy": {"public_url": "https://proxy.example.org", "port": 4000}})
    config_of(input={"harbor_job": {"environment": "modal"}})  # terminus-2 calls the model from this host


def test_the_local_sandbox_has_no_way_to_any_address() -> None:
    local = {"harbor_job": {"environment": "local"}, "agent": {"name": "claude-code"}}
    assert "needs a container of Docker" in refused(**local, litellm_proxy={"public_url": "http://x:{port}"})


@pytest.mark.parametrize(
    ("proxy", "words"),
    [
        ({"public_url": "https://proxy.example.org"}, "litellm_proxy.port has to say which"),
        ({"public_url": "proxy.example.org:{port}"}, "should be an http or https address"),
        ({"public_url": "http://me:secret@proxy.example.org:{port}"}, "without login"),
        ({"public_url": "http://{pod}:{port}"}, "{host} and {port} in it stand for"),
        ({"public_url": "http://{0}:{port}"}, "{host} and {port} in it stand for"),
        ({"public_url": "http://x:{port}", "host": "pod.local"}, "should be an IPv4 address, or ${NAME}"),
    ],
)
def test_an_address_that_leads_to_no_proxy_is_refused(proxy: dict[str, Any], words: str) -> None:
    assert words in refused(**MODAL, litellm_proxy=proxy)


def test_host_and_port_of_the_proxy_are_put_into_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POD_IP", "10.1.2.3")
    config = config_of(input={"litellm_proxy": {"public_url": "http://{host}:{port}/", "host": "${POD_IP}"}})
    assert config.proxy_host == "10.1.2.3"
    assert filled_url("http://{host}:{port}/", host="10.1.2.3", port=41234) == "http://10.1.2.3:41234"


def test_a_closed_network_of_docker_has_no_way_to_a_public_address() -> None:
    closed = {"harbor_job": {"network": "proxy_only"}, "litellm_proxy": {"public_url": "http://x:{port}"}}
    assert "leave litellm_proxy.public_url out" in refused(**closed)


@pytest.mark.parametrize(
    ("environment", "options", "words"),
    [
        ("docker", {"region": "x"}, "docker has none"),
        ("gke", {"api_token": "abc"}, "name its variable in env_extra"),
        ("gke", {"region": ["a"]}, "environment_options"),
    ],
)
def test_settings_that_an_environment_cannot_be_given_are_refused(
    environment: str, options: dict[str, Any], words: str
) -> None:
    assert words in refused(harbor_job={"environment": environment, "environment_options": options})
