"""Many clients of one proxy at once, and what each of them saw."""

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import httpx

from tests.integration.load_twin import Ending, LoadTwin
from tests.integration.model_calls import CHAT, MESSAGES, RESPONSES, body_of
from trajgen_assets.core.capture.proxy import RunningProxy

CALL_TIMEOUT_S = 60.0
LOOK_EVERY_S = 0.02

# What a stream ends with in each dialect. A whole plain reply is JSON of the announced length.
ENDINGS = {CHAT: "data: [DONE]", MESSAGES: "message_stop", RESPONSES: "response.completed"}


@dataclass(frozen=True)
class Call:
    """One call.

    Attributes:
        marker: stands in its text, and in nothing else.
        leaves_after: so many lines of the reply are read before the client leaves; 0: it leaves once the upstream was
            asked for its last ending. None: it stays.
    """

    marker: str
    trial: str
    path: str
    stream: bool
    endings: tuple[Ending, ...]
    leaves_after: int | None = None


@dataclass(frozen=True)
class Seen:
    """What a client saw. `status` is 0 if the connection broke before there was one."""

    call: Call
    status: int
    text: str

    @property
    def is_whole(self) -> bool:
        """Whether the whole reply arrived, as far as a client can tell."""
        ending = ENDINGS[self.call.path] if self.call.stream else self.call.marker
        return self.status == httpx.codes.OK and ending in self.text


@dataclass(frozen=True)
class Clients:
    """Clients of `proxy`, which asks `twin`."""

    proxy: RunningProxy
    twin: LoadTwin

    def make(self, calls: Iterable[Call], *, n_at_once: int) -> list[Seen]:
        """Make all calls, `n_at_once` of them at a time."""
        return asyncio.run(self._make(calls, n_at_once))

    async def _make(self, calls: Iterable[Call], n_at_once: int) -> list[Seen]:
        waiting, seen = iter(calls), list[Seen]()
        limits = httpx.Limits(max_connections=n_at_once)
        client = httpx.AsyncClient(base_url=self.proxy.base_url, trust_env=False, timeout=CALL_TIMEOUT_S, limits=limits)
        async with client, asyncio.TaskGroup() as group:
            for _ in range(n_at_once):
                group.create_task(self._make_each(client, waiting, seen))
        return seen

    async def _make_each(self, client: httpx.AsyncClient, waiting: Iterator[Call], seen: list[Seen]) -> None:
        for call in waiting:
            seen.append(await self._leaving(client, call) if call.leaves_after == 0 else await self._ask(client, call))

    async def _leaving(self, client: httpx.AsyncClient, call: Call) -> Seen:
        asking = asyncio.create_task(self._ask(client, call))
        while self.twin.n_tries[call.marker] < len(call.endings) and not asking.done():
            await asyncio.sleep(LOOK_EVERY_S)
        asking.cancel()
        await asyncio.wait([asking])
        return Seen(call, 0, "") if asking.cancelled() else asking.result()

    async def _ask(self, client: httpx.AsyncClient, call: Call) -> Seen:
        headers = {"Authorization": f"Bearer {self.proxy.trial_key(call.trial)}"}
        body = body_of(call.path, " ".join((call.marker, *call.endings)), stream=call.stream)
        status, lines = 0, list[str]()
        try:
            async with client.stream("POST", call.path, json=body, headers=headers) as reply:
                status = reply.status_code
                async for line in reply.aiter_lines():
                    lines.append(line)
                    if len(lines) == call.leaves_after:
                        break
        except httpx.TransportError:
            lines.append("the connection broke")
        return Seen(call, status, "\n".join(lines))
