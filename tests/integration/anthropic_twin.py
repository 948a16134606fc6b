"""An upstream that speaks Anthropic's messages: it thinks, signs that, and asks for two tools at once."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.integration.upstream_twin import serving

THOUGHT, SIGNATURE = "two looks at once", "c2lnbmVk"
CALLS = {"toolu_1": {"at": "x"}, "toolu_2": {"at": "y"}}
USAGE = {
    "input_tokens": 11,
    "cache_creation_input_tokens": 20,
    "cache_read_input_tokens": 300,
    "output_tokens": 5,
}


@contextmanager
def serving_anthropic() -> Iterator[int]:
    """Serve it from a thread of this process until the block ends; yields the port."""
    app = Starlette(routes=[Route("/v1/messages", _answer, methods=["POST"])])
    with serving(app) as port:
        yield port


async def _answer(request: Request) -> Response:
    body = await request.json()
    if body.get("stream"):
        return StreamingResponse(_events(body), media_type="text/event-stream")
    return JSONResponse(_message(body) | {"content": _blocks(), "stop_reason": "tool_use", "usage": USAGE})


def _message(body: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "msg_1", "type": "message", "role": "assistant", "model": body["model"], "content": [],
        "stop_reason": None, "stop_sequence": None,
    }  # fmt: skip


def _blocks() -> list[dict[str, Any]]:
    calls = [{"type": "tool_use", "id": name, "name": "look", "input": given} for name, given in CALLS.items()]
    return [
        {"type": "thinking", "thinking": THOUGHT, "signature": SIGNATURE},
        {"type": "text", "text": "hello"},
        *calls,
    ]


async def _events(body: dict[str, Any]) -> AsyncIterator[str]:
    yield _event("message_start", message=_message(body) | {"usage": USAGE | {"output_tokens": 1}})
    for index, block in enumerate(_blocks()):
        empty = dict.fromkeys(block.keys() & {"thinking", "text", "signature"}, "")
        empty |= {"input": {}} if block["type"] == "tool_use" else {}
        yield _event("content_block_start", index=index, content_block=block | empty)
        for delta in _deltas(block):
            yield _event("content_block_delta", index=index, delta=delta)
        yield _event("content_block_stop", index=index)
    yield _event("message_delta", delta={"stop_reason": "tool_use", "stop_sequence": None}, usage={"output_tokens": 5})
    yield _event("message_stop")


def _deltas(block: dict[str, Any]) -> Iterator[dict[str, Any]]:
    match block["type"]:
        case "thinking":
            yield {"type": "thinking_delta", "thinking": THOUGHT[:4]}
            yield {"type": "thinking_delta", "thinking": THOUGHT[4:]}
            yield {"type": "signature_delta", "signature": SIGNATURE}
        case "text":
            yield {"type": "text_delta", "text": block["text"]}
        case "tool_use":
            text = json.dumps(block["input"])
            yield {"type": "input_json_delta", "partial_json": text[:3]}
            yield {"type": "input_json_delta", "partial_json": text[3:]}


def _event(kind: str, **fields: Any) -> str:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n"
