"""The gate before LiteLLM's routes: what passes, and how the rest is refused."""

import asyncio
from typing import Any

import pytest
import route_gate
from starlette.applications import Starlette


def _sent(scope: dict[str, Any]) -> tuple[bool, list[dict[str, Any]]]:
    """Whether the scope came through to the application behind the gate, and what was sent."""
    passed, sent = list[str](), list[dict[str, Any]]()

    async def behind(scope: Any, _receive: Any, _send: Any) -> None:
        passed.append(scope["type"])

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    app = Starlette()
    app.router.middleware_stack = behind
    route_gate.close_other_routes(app)
    asyncio.run(app.router({"app": app, "router": app.router, **scope}, None, send))  # type: ignore[arg-type]
    return bool(passed), sent


@pytest.mark.parametrize(
    "scope",
    [
        {"type": "lifespan"},
        {"type": "http", "method": "POST", "path": "/v1/messages"},
        {"type": "http", "method": "GET", "path": "/v1/models"},
        {"type": "http", "method": "GET", "path": "/health/readiness"},
    ],
    ids=lambda scope: scope.get("path", scope["type"]),
)
def test_start_and_end_model_routes_and_health_pass(scope: dict[str, Any]) -> None:
    assert _sent(scope) == (True, [])


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/health/drain"),
        ("GET", "/v1/messages"),
        ("POST", "/v1/messages/"),
        ("OPTIONS", "/v1/models"),
        ("GET", ""),
    ],
)
def test_whatever_else_is_asked_for_is_forbidden(method: str, path: str) -> None:
    passed, sent = _sent({"type": "http", "method": method, "path": path})
    assert (passed, sent[0]["status"]) == (False, 403)
    assert b"only the model routes are open" in sent[1]["body"]


@pytest.mark.parametrize("path", ["/v1/realtime", "/v1/responses", "/v1/models"])
def test_a_web_socket_is_refused_everywhere(path: str) -> None:
    passed, sent = _sent({"type": "websocket", "path": path})
    assert (passed, sent) == (False, [{"type": "websocket.close", "code": 1008}])
