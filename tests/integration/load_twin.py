"""A chat-completions upstream for many calls at once: each call says in its text who it is and how it is to end.

The text of a call is its marker and then one ending for each try, of which the last holds for all further ones.
Whatever is answered carries the marker, so that a record that holds parts of two calls shows.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tests.integration.upstream_twin import serving

USAGE = {"prompt_tokens": 7, "completion_tokens": 4, "total_tokens": 11}
SLOW_CHUNKS, SLOW_CHUNK_S = 20, 0.1


class Ending(StrEnum):
    """How an upstream deals with one request."""

    ANSWER = "answer"
    RATE_LIMIT = "rate-limit"
    FAIL = "fail"
    CUT = "cut"
    SLOW = "slow"
    HANG = "hang"
    HANG_MIDWAY = "hang-midway"


REFUSALS = {Ending.RATE_LIMIT: 429, Ending.FAIL: 500}


@dataclass
class LoadTwin:
    """What was asked, and what is open. Only the serving thread writes.

    Attributes:
        n_tries: how often each marker arrived.
        n_open: requests that are being answered now.
    """

    port: int = 0
    n_tries: Counter[str] = field(default_factory=Counter)
    n_open: int = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request, as an ASGI application."""
        self.n_open += 1
        try:
            body = await _read(receive)
            marker, *endings = _text_of(body).split()
            self.n_tries[marker] += 1
            ending = endings[min(self.n_tries[marker], len(endings)) - 1]
            await _Answer(body, marker, receive, send).give(Ending(ending))
        finally:
            self.n_open -= 1


@contextmanager
def serving_load_twin() -> Iterator[LoadTwin]:
    """Serve the twin from a thread of this process until the block ends."""
    twin = LoadTwin()
    with serving(twin) as twin.port:
        yield twin


@dataclass
class _Answer:
    body: dict[str, Any]
    marker: str
    receive: Any
    send: Any

    async def give(self, ending: Ending) -> None:
        if ending in REFUSALS:
            await self._refuse(REFUSALS[ending])
        elif ending is Ending.HANG:
            await self._until_left()
        elif self.body.get("stream"):
            await self._stream(ending)
        else:
            await self._whole(ending)

    async def _refuse(self, status: int) -> None:
        error = {"message": f"{self.marker} is refused", "type": "server_error"}
        await self._start(status, b"application/json")
        await self._send(json.dumps({"error": error}).encode(), more=False)

    async def _whole(self, ending: Ending) -> None:
        if ending in (Ending.SLOW, Ending.HANG_MIDWAY):
            await asyncio.sleep(SLOW_CHUNKS * SLOW_CHUNK_S)
        message = {"role": "assistant", "content": f"reply to {self.marker}"}
        envelope = self._envelope("chat.completion", message=message, finish_reason="stop") | {"usage": USAGE}
        data = json.dumps(envelope).encode()
        await self._start(200, b"application/json")
        # Half of it, and the end of the connection: an ASGI server that misses the end of a body closes.
        await self._send(data[: len(data) // 2] if ending is Ending.CUT else data, more=ending is Ending.CUT)

    async def _stream(self, ending: Ending) -> None:
        await self._start(200, b"text/event-stream")
        await self._chunk(role="assistant", content=f"reply to {self.marker}")
        await self._chunk(content=" goes on")
        if ending is Ending.CUT:
            return
        if ending is Ending.HANG_MIDWAY:
            await self._until_left()
            return
        if ending is Ending.SLOW:
            for number in range(SLOW_CHUNKS):
                await asyncio.sleep(SLOW_CHUNK_S)
                await self._chunk(content=f" {number}")
        last = self._envelope("chat.completion.chunk", delta={}, finish_reason="stop") | {"usage": USAGE}
        await self._send(b"data: %s\n\ndata: [DONE]\n\n" % json.dumps(last).encode(), more=False)

    async def _chunk(self, **delta: str) -> None:
        envelope = self._envelope("chat.completion.chunk", delta=delta, finish_reason=None)
        await self._send(b"data: %s\n\n" % json.dumps(envelope).encode(), more=True)

    def _envelope(self, kind: str, **choice: Any) -> dict[str, Any]:
        choices = [{"index": 0} | choice]
        return {"id": f"id-{self.marker}", "object": kind, "created": 1, "model": "m1", "choices": choices}

    async def _start(self, status: int, kind: bytes) -> None:
        await self.send({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind)]})

    async def _send(self, data: bytes, *, more: bool) -> None:
        await self.send({"type": "http.response.body", "body": data, "more_body": more})

    async def _until_left(self) -> None:
        while (await self.receive())["type"] != "http.disconnect":
            pass


async def _read(receive: Any) -> dict[str, Any]:
    data, more = b"", True
    while more:
        message = await receive()
        data += message.get("body", b"")
        more = message.get("more_body", False)
    body: dict[str, Any] = json.loads(data)
    return body


def _text_of(body: dict[str, Any]) -> str:
    content = body["messages"][-1]["content"]
    return str(content if isinstance(content, str) else content[0]["text"])
