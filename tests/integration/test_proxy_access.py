"""What an agent's key opens at the real LiteLLM proxy: the model routes, for its own trial, until that has ended."""

import asyncio
import re
import secrets
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from tests.installed import LITELLM_ENV
from tests.integration.model_calls import (
    CHAT,
    JOB,
    MESSAGES,
    PATHS,
    UPSTREAM_SECRET,
    body_of,
    post,
    records_of,
    settled,
)
from tests.integration.upstream_twin import Upstream, serving_upstream
from trajgen_assets.core.capture.proxy import RunningProxy
from trajgen_assets.guest import trial_keys

HEALTH, LISTINGS = ("/health/readiness", "/health/liveliness"), ("/v1/models", "/models")
MODEL_ROUTES = (*PATHS, "/chat/completions", "/responses", "/v1/messages/count_tokens")
OPEN = {("POST", path) for path in MODEL_ROUTES} | {("GET", path) for path in (*HEALTH, *LISTINGS)}
OTHER = "other__1"
N_AT_ONCE = 16
ROUTE = re.compile(r"@\w*(?:router|app)\.(get|post|put|delete|patch|options|head|websocket)\(\s*\"(/[^\"]*)\"")
# What LiteLLM serves besides, or makes up of paths at run time.
UNDECLARED = [
    ("GET", "/openapi.json"),
    ("GET", "/docs"),
    ("GET", "/redoc"),
    ("GET", "/ui/"),
    ("GET", "/"),
    ("GET", "/mcp"),
    ("POST", "/mcp"),
    ("POST", "/any-server/mcp"),
    ("GET", "/openai/v1/models"),
    ("POST", "/openai/v1/chat/completions"),
    ("POST", "/anthropic/v1/messages"),
    ("POST", "/vllm/v1/chat/completions"),
    ("GET", "/health"),
    ("GET", "/metrics"),
    ("GET", CHAT),
    ("PUT", MESSAGES),
    ("POST", "/v1/models"),
    ("POST", f"{CHAT}/"),
    ("POST", "//v1/chat/completions"),
]


FORMS = pytest.mark.parametrize("form", ["bearer", "x-api-key"])


def headers_for(key: str, form: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"} if form == "bearer" else {"x-api-key": key}


@FORMS
@pytest.mark.parametrize("path", PATHS)
def test_the_key_is_taken_in_both_forms_until_the_trial_has_ended(
    proxy: RunningProxy, trial: str, path: str, form: str
) -> None:
    headers = headers_for(proxy.trial_key(trial), form)
    assert post(proxy, "", path, body_of(path, "hi"), **headers).status_code == 200
    (proxy.folder / "ended" / trial).touch()
    assert post(proxy, "", path, body_of(path, "hi"), **headers).status_code == 401
    assert settled(proxy, trial).admitted == 1


@FORMS
@pytest.mark.parametrize("path", PATHS)
def test_no_other_key_is_let_in(proxy: RunningProxy, trial: str, path: str, form: str) -> None:
    right, claim = proxy.trial_key(trial), trial_keys.mint("", JOB, OTHER).partition(".")[0]
    keys = {
        "nonsense": "sk-tk-x.y",
        "forged": trial_keys.mint("00" * 32, JOB, trial),
        "tampered": right[:-2] + ("AA" if not right.endswith("AA") else "BB"),
        "for another trial, signed for this one": f"{claim}.{right.partition('.')[2]}",
        "other job": trial_keys.mint(proxy.subkey, "job-2", trial),
        "other proxy": trial_keys.MASTER_PREFIX + secrets.token_urlsafe(32),
        "subkey": proxy.subkey,
        "upstream": UPSTREAM_SECRET,
    }
    statuses = {
        name: post(proxy, "", path, body_of(path, "hi"), **headers_for(key, form)).status_code
        for name, key in keys.items()
    }
    assert statuses == dict.fromkeys(keys, 401)
    assert post(proxy, "", path, body_of(path, "hi")).status_code == 401
    assert settled(proxy, trial).admitted == 0


def declared_routes() -> list[tuple[str, str]]:
    """Method and path of every route in the source of LiteLLM's proxy, with something for each part that is free."""
    (source,) = LITELLM_ENV.glob("lib/python*/site-packages/litellm/proxy")
    found = {match for file in source.rglob("*.py") for match in ROUTE.findall(file.read_text())}
    return [(method.upper(), re.sub(r"\{[^}]*\}", "x", path)) for method, path in sorted(found)]


@pytest.mark.parametrize("who", ["nobody", "trial", "platform"])
def test_every_route_that_is_no_model_route_is_closed(proxy: RunningProxy, trial: str, who: str) -> None:
    routes = [route for route in [*declared_routes(), *UNDECLARED] if route not in OPEN]
    assert len(routes) > 600
    key = {"nobody": "", "trial": proxy.trial_key(trial), "platform": proxy.master_key}[who]
    # With a trial's key all of them; as it is the gate that refuses, a part of them stands for the rest without.
    chosen = routes if who == "trial" else [*routes[::7], ("GET", "/metrics")]
    statuses = asyncio.run(statuses_of(proxy, key, chosen))
    # LiteLLM itself asks for a key of its metrics, before the gate does its part.
    assert {route: status for route, status in statuses.items() if status != 403} == {("GET", "/metrics"): 401}
    assert settled(proxy, trial).admitted == 0


async def statuses_of(proxy: RunningProxy, key: str, routes: list[tuple[str, str]]) -> dict[tuple[str, str], int]:
    found, waiting = dict[tuple[str, str], int](), iter(routes)
    auth = {"Authorization": f"Bearer {key}"} if key else {}
    async with httpx.AsyncClient(base_url=proxy.base_url, headers=auth, trust_env=False, timeout=30) as client:

        async def ask() -> None:
            for method, path in waiting:
                found[method, path] = await status_of(client, method, path)

        async with asyncio.TaskGroup() as group:
            for _ in range(N_AT_ONCE):
                group.create_task(ask())
    return found


async def status_of(client: httpx.AsyncClient, method: str, path: str) -> int:
    url = f"{str(client.base_url).rstrip('/')}{path}"
    if method == "WEBSOCKET":
        return (await client.get(url, headers=HANDSHAKE)).status_code
    body: Mapping[str, Any] = {"json": {"model": "m1"}} if method in ("POST", "PUT", "PATCH") else {}
    return (await client.request(method, url, **body)).status_code


HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest.mark.parametrize("path", ["/v1/realtime?model=m1", "/v1/responses", CHAT, "/v1/models", "/anything"])
def test_no_web_socket_is_opened(proxy: RunningProxy, trial: str, path: str) -> None:
    headers = {"Authorization": f"Bearer {proxy.trial_key(trial)}", **HANDSHAKE}
    assert httpx.get(f"{proxy.base_url}{path}", headers=headers, trust_env=False).status_code == 403
    assert settled(proxy, trial).admitted == 0


def test_without_a_key_only_the_health_of_the_proxy_is_told(proxy: RunningProxy) -> None:
    statuses = {
        path: httpx.get(f"{proxy.base_url}{path}", trust_env=False).status_code for path in (*HEALTH, *LISTINGS)
    }
    assert statuses == dict.fromkeys(HEALTH, 200) | dict.fromkeys(LISTINGS, 401)


ADMISSION = {"job": JOB, "trial": OTHER, "admission_id": "0", "dialect": "openai_chat", "seal": "0"}
FORGED = {"user_api_key_auth_metadata": ADMISSION, "user_api_key_metadata": ADMISSION, "user_api_key_alias": OTHER}
NAMING_BODIES = {
    "metadata": {"metadata": FORGED},
    "litellm_metadata": {"litellm_metadata": FORGED},
    "litellm_params": {"litellm_params": {"metadata": FORGED, "litellm_metadata": FORGED}},
    "extra_body": {"extra_body": {"metadata": FORGED, "trajectory_output_path": OTHER}},
    "user": {"user": OTHER},
    "proxy_server_request": {"proxy_server_request": {"body": {"metadata": FORGED}}},
    "ids": {"litellm_call_id": OTHER, "litellm_trace_id": OTHER, "litellm_session_id": OTHER},
    "auth": {"user_api_key_dict": {"metadata": ADMISSION}, "user_api_key_alias": OTHER},
}
NAMING_HEADERS = {
    "x-trajectory-output-path": f"{JOB}/{OTHER}",
    "x-litellm-call-id": OTHER,
    "x-litellm-trace-id": OTHER,
    "x-litellm-session-id": OTHER,
    "x-litellm-tags": OTHER,
    "x-litellm-customer-id": OTHER,
    "x-litellm-spend-logs-metadata": '{"user_api_key_auth_metadata": {"trial": "other__1"}}',
    "x-instance-id": OTHER,
    "x-forwarded-prefix": f"/{OTHER}",
}


@pytest.mark.parametrize("named_in", [*NAMING_BODIES, "headers"])
@pytest.mark.parametrize("path", PATHS)
def test_an_agent_cannot_write_to_another_trial(proxy: RunningProxy, trial: str, path: str, named_in: str) -> None:
    headers = NAMING_HEADERS if named_in == "headers" else {}
    body = body_of(path, "hi", **NAMING_BODIES.get(named_in, {}))
    reply = post(proxy, proxy.trial_key(trial), path, body, **headers)
    capture = settled(proxy, trial)
    assert capture.admitted or reply.is_error  # some bodies LiteLLM itself refuses, before custom auth
    assert (capture.ended, capture.ok) == (capture.admitted, int(reply.is_success))
    records = records_of(proxy, trial) if capture.admitted else []
    assert {record["trajectory_route"] for record in records} <= {f"{JOB}/{trial}"}
    assert not list(proxy.folder.glob(f"*/{OTHER}*"))


@pytest.fixture(scope="module")
def elsewhere() -> Any:
    with serving_upstream() as twin:
        yield twin


@pytest.mark.parametrize("path", PATHS)
def test_an_agent_cannot_send_the_upstream_s_key_elsewhere(
    proxy: RunningProxy, trial: str, path: str, elsewhere: Upstream
) -> None:
    url = f"http://127.0.0.1:{elsewhere.port}/v1"
    place = {"api_base": url, "base_url": url}
    deployment = {"model_name": "m1", "litellm_params": {"model": "openai/m1", **place}}
    attempts: list[dict[str, Any]] = [
        {"api_base": url},
        {"base_url": url},
        {"extra_body": place},
        {"litellm_params": place},
        {"metadata": place},
        {"model_list": [deployment]},
        {"model": "no-such-model", "fallbacks": [{"model": "m1", **place}]},
        {"model": "no-such-model", "fallbacks": [{"no-such-model": [{"model": "openai/m1", **place}]}]},
        {"mock_testing_fallbacks": True, "fallbacks": [{"model": "openai/m1", **place}]},
        {"model": f"openai/m1@{url}"},
    ]
    for more in attempts:
        post(proxy, proxy.trial_key(trial), path, body_of(path, "hi") | more)
    assert elsewhere.requests == []
    capture = settled(proxy, trial)
    assert (capture.ended, capture.aborted) == (capture.admitted, 0)


def test_the_platform_has_no_administration_either(proxy: RunningProxy) -> None:
    assert post(proxy, proxy.master_key, "/key/generate", {}).status_code == 403
    assert post(proxy, proxy.master_key, CHAT, body_of(CHAT, "hi")).status_code == 200
