"""The routes of the scripted model.

GET  /v1/models             the one model
POST /v1/chat/completions   an answer, whole or as server-sent events
POST /_fault                a FaultPlan as JSON: what goes wrong from now on
GET  /_requests             how many completions were asked for, and the latest of them in short
"""

import asyncio
import hmac
import json
import math
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from trajgen_assets.core.scripted import completion, dialect
from trajgen_assets.core.scripted.conversation import Conversation
from trajgen_assets.core.scripted.faults import REFUSALS, Fault, FaultPlan, FaultSwitch, Refusal
from trajgen_assets.core.scripted.script import MODEL_NAME, SCRIPTS, find_script, load_scripts

MAX_REMEMBERED_REQUESTS = 200
EVENT_STREAM = "text/event-stream"


class ScriptedServer:
    """The state behind the routes. The conversation itself is in each request, none is kept.

    Args:
        api_key: if given, completions need it as bearer token.
        latency_s: how long every completion takes at least.
        scripts: folder of the scripts that it knows.
    """

    def __init__(self, *, api_key: str | None = None, latency_s: float = 0.0, scripts: Path = SCRIPTS) -> None:
        self.faults = FaultSwitch()
        self.n_requests = 0
        self.latest: deque[dict[str, Any]] = deque(maxlen=MAX_REMEMBERED_REQUESTS)
        self._api_key = api_key
        self._latency_s = latency_s
        self._scripts = load_scripts(scripts)

    def app(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                Route("/v1/models", self._models),
                Route("/v1/chat/completions", self._complete, methods=["POST"]),
                Route("/_fault", self._set_fault, methods=["POST"]),
                Route("/_requests", self._requests),
            ]
        )

    async def _models(self, request: Request) -> Response:
        if not self._is_authorized(request):
            return _refuse_key(request)
        model = {"id": MODEL_NAME, "object": "model", "created": completion.CREATED_EPOCH_S, "owned_by": "trajgen"}
        return JSONResponse({"object": "list", "data": [model]})

    async def _set_fault(self, request: Request) -> Response:
        try:
            plan = FaultPlan.model_validate_json(await request.body())
        except ValidationError as error:
            return _refuse_body(str(error))
        self.faults.set(plan)
        return JSONResponse(plan.model_dump(mode="json"))

    async def _requests(self, _: Request) -> Response:
        return JSONResponse({"n_requests": self.n_requests, "latest": list(self.latest)})

    async def _complete(self, request: Request) -> Response:
        try:
            conversation = Conversation.read(json.loads(await request.body()))
        except ValueError as error:
            return _refuse_body(str(error))
        plan = self.faults.take(conversation.user_text)
        self._remember(conversation, plan)
        if not self._is_authorized(request):
            return _refuse_key(request)
        await asyncio.sleep(self._latency_s)
        return await self._answer(request, conversation, plan)

    async def _answer(self, request: Request, conversation: Conversation, plan: FaultPlan) -> Response:
        if plan.fault is Fault.UNAUTHORIZED:
            return _refuse_key(request)
        if plan.fault in REFUSALS:
            return _refuse(REFUSALS[plan.fault], plan.delay_s)
        if plan.fault is Fault.HANG:
            await _until_disconnected(request)
        if plan.fault is Fault.SLOW:
            await asyncio.sleep(plan.delay_s)
        answer = dialect.answer(find_script(self._scripts, conversation.user_text), conversation)
        events = _events(conversation, answer)
        if plan.fault is Fault.CUT:
            return CutResponse(b"".join(events) if conversation.stream else _json(conversation, answer))
        if conversation.stream:
            return StreamingResponse(_send_each(events), media_type=EVENT_STREAM)
        return Response(_json(conversation, answer), media_type="application/json")

    def _is_authorized(self, request: Request) -> bool:
        if self._api_key is None:
            return True
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(given.encode(), self._api_key.encode())

    def _remember(self, conversation: Conversation, plan: FaultPlan) -> None:
        self.n_requests += 1
        script = find_script(self._scripts, conversation.user_text)
        self.latest.append(
            {
                "task_id": script.task_id,
                "model": conversation.model,
                "n_messages": len(conversation.messages),
                "n_tools": len(conversation.tools),
                "stream": conversation.stream,
                "fault": plan.fault,
            }
        )


class CutResponse(Response):
    """A response of which the first half arrives before the connection is closed."""

    media_type = EVENT_STREAM

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        half = bytes(self.body[: len(self.body) // 2])
        await send({"type": "http.response.body", "body": half, "more_body": True})
        # Returning without the end of the body makes uvicorn close the connection.


async def _until_disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _send_each(events: list[bytes]) -> AsyncIterator[bytes]:
    for event in events:
        yield event


def _events(conversation: Conversation, answer: dialect.Answer) -> list[bytes]:
    texts = [json.dumps(chunk, ensure_ascii=False) for chunk in completion.chunks(conversation, answer)]
    return [f"data: {text}\n\n".encode() for text in [*texts, "[DONE]"]]


def _json(conversation: Conversation, answer: dialect.Answer) -> bytes:
    return json.dumps(completion.whole(conversation, answer), ensure_ascii=False).encode()


def _refuse(refusal: Refusal, delay_s: float = 0.0) -> Response:
    error = {"message": refusal.message, "type": refusal.type, "param": None, "code": refusal.code}
    headers = {"Retry-After": str(math.ceil(delay_s))} if refusal.status == 429 else None
    return JSONResponse({"error": error}, refusal.status, headers)


def _refuse_key(request: Request) -> Response:
    """Refuse with the presented key in the message, as some endpoints do: whoever shows or keeps it must redact it."""
    refusal = REFUSALS[Fault.UNAUTHORIZED]
    given = request.headers.get("authorization", "").partition(" ")[2]
    return _refuse(replace(refusal, message=f"{refusal.message} No access for token {given}, sorry."))


def _refuse_body(message: str) -> Response:
    return _refuse(Refusal(400, "invalid_request_error", None, message))
