"""All routes of LiteLLM but a few are closed before it looks at a request.

It has some 660. Most of them ask custom auth, and some do not: `GET /health/drain` lets whoever reaches the proxy
declare that it is shutting down, and the user interface, sign-on, MCP servers and workers have checks of their own. No
agent needs any of them.
"""

import json
from typing import Any

from admission import DIALECTS

COUNT_TOKENS = "/v1/messages/count_tokens"
LISTINGS = ("/v1/models", "/models")
HEALTH = ("/health/readiness", "/health/liveliness")
OPEN = {("POST", path) for path in (*DIALECTS, COUNT_TOKENS)} | {("GET", path) for path in (*LISTINGS, *HEALTH)}
REFUSAL = {"error": {"message": "only the model routes are open", "type": "forbidden", "param": None, "code": "403"}}


class RouteGate:
    """An ASGI application that lets the open routes through to `app`; web sockets are not among them."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan" or (scope.get("method"), scope["path"]) in OPEN:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            headers = [(b"content-type", b"application/json")]
            await send({"type": "http.response.start", "status": 403, "headers": headers})
            await send({"type": "http.response.body", "body": json.dumps(REFUSAL).encode()})


def close_other_routes(app: Any) -> None:
    """Put the gate before the routes of a FastAPI application, also of one that has started already."""
    app.router.middleware_stack = RouteGate(app.router.middleware_stack)
