"""A chat-completions upstream whose answer is chosen by the last user message, served on a loopback port."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

USAGE = {
    "prompt_tokens": 11,
    "completion_tokens": 5,
    "total_tokens": 16,
    "prompt_tokens_details": {"cached_tokens": 3},
    "completion_tokens_details": {"reasoning_tokens": 2},
}
TOOL_CALL = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"at": "x"}'}}
SECOND_CALL = TOOL_CALL | {"index": 1, "id": "call_2", "function": {"name": "look", "arguments": '{"at": "y"}'}}


@dataclass
class Upstream:
    """What the twin was asked. `port` is known once it serves; with a `status` it refuses every call, with 0 it
    answers none."""

    port: int = 0
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)

    async def answer(self, request: Request) -> Response:
        body = await request.json()
        self.requests.append(body)
        self.keys.append(request.headers.get("authorization"))
        wish = _last_user_text(body)
        if self.status == 0:
            await asyncio.sleep(60)
        if self.status is not None:
            error = {"message": f"the twin was told to answer {self.status}", "type": "told"}
            return JSONResponse({"error": error}, self.status, self.headers)
        if "hang" in wish:
            await asyncio.sleep(60)
        if "echo" in wish:
            return _echo_of_the_key(body, wish, request.headers.get("authorization", "").partition(" ")[2])
        failing_once = "flaky" in wish and sum("flaky" in _last_user_text(each) for each in self.requests) == 1
        if "fail" in wish or failing_once:
            return JSONResponse({"error": {"message": "the twin was told to fail", "type": "server"}}, 500)
        calls = [TOOL_CALL, SECOND_CALL] if "twice" in wish else [TOOL_CALL]
        if body.get("stream"):
            return StreamingResponse(_chunks(body, calls, slow="slow" in wish), media_type="text/event-stream")
        message = {"role": "assistant", "content": "hello", "reasoning_content": "think", "tool_calls": calls}
        return JSONResponse(_envelope(body, message=message, finish_reason="tool_calls") | {"usage": USAGE})


def _echo_of_the_key(body: dict[str, Any], wish: str, key: str) -> Response:
    """Fail with the presented key in the error: at once, or as an event of a stream."""
    error = {"message": f"no access for token {key}, sorry: {quote(key, safe='')}", "type": "denied", "param": key}
    if "echo first" in wish or "echo late" in wish:
        chunks = _failing_chunks(body, error | {"code": 500}, n_before=2 if "late" in wish else 0)
        return StreamingResponse(chunks, media_type="text/event-stream")
    status = int(wish.partition("echo ")[2][:3])
    return JSONResponse({"error": error | {"code": "denied"}}, status, {"x-denied-token": key})


async def _failing_chunks(body: dict[str, Any], error: dict[str, Any], *, n_before: int) -> AsyncIterator[str]:
    for number in range(n_before):
        delta = {"role": "assistant", "content": f"part {number}"}
        yield f"data: {json.dumps(_envelope(body, delta=delta, finish_reason=None))}\n\n"
        await asyncio.sleep(0.05)
    yield f"data: {json.dumps({'error': error})}\n\n"


def _last_user_text(body: dict[str, Any]) -> str:
    return json.dumps([each["content"] for each in body["messages"] if each["role"] == "user"][-1:])


def _envelope(body: dict[str, Any], **choice: Any) -> dict[str, Any]:
    kind = "chat.completion.chunk" if "delta" in choice else "chat.completion"
    return {
        "id": "cmpl-1", "object": kind, "created": 1, "model": body["model"], "choices": [{"index": 0} | choice],
    }  # fmt: skip


async def _chunks(body: dict[str, Any], calls: list[dict[str, Any]], *, slow: bool) -> AsyncIterator[str]:
    deltas = [{"role": "assistant", "reasoning_content": "think"}, {"content": "hel"}, {"content": "lo"}]
    deltas += [{"content": f" {n}"} for n in range(400)] if slow else [{"tool_calls": [call]} for call in calls]
    for delta in deltas:
        yield f"data: {json.dumps(_envelope(body, delta=delta, finish_reason=None))}\n\n"
        await asyncio.sleep(0.05 if slow else 0)
    last = _envelope(body, delta={}, finish_reason="stop" if slow else "tool_calls") | {"usage": USAGE}
    yield f"data: {json.dumps(last)}\n\ndata: [DONE]\n\n"


@contextmanager
def serving_upstream() -> Iterator[Upstream]:
    """Serve the twin from a thread of this process until the block ends."""
    upstream = Upstream()
    routes = [Route("/v1/chat/completions", upstream.answer, methods=["POST"])]
    with serving(Starlette(routes=routes)) as upstream.port:
        yield upstream


@contextmanager
def serving(app: ASGIApp) -> Iterator[int]:
    """Serve an ASGI application from a thread of this process until the block ends. Yields its port."""
    # Kept connections outlive the pauses of a test: one that closes just as it is used again is a failure of its own.
    options: dict[str, Any] = {"timeout_keep_alive": 300, "timeout_graceful_shutdown": 1, "lifespan": "off"}
    config = uvicorn.Config(app, port=0, log_level="critical", **options)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield int(server.servers[0].sockets[0].getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(5)
