"""Carries connections that an agent's container makes to the proxy's place in its own network, and no others."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

CHUNK_BYTES = 1 << 16


@dataclass(frozen=True)
class Place:
    """Where the proxy listens."""

    host: str
    port: int


@contextlib.asynccontextmanager
async def relaying(listener: socket.socket, proxy: Place) -> AsyncIterator[None]:
    """Serve `listener`, which may belong to another network, as long as the block runs; it is closed then."""
    relay = _Relay(proxy)
    listener.setblocking(False)
    server = await asyncio.start_server(relay.carry, sock=listener)
    try:
        yield
    finally:
        server.close()
        await relay.cut_off()


@dataclass
class _Relay:
    proxy: Place
    open: set[asyncio.Task[None]] = field(default_factory=set)

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection to its end, on either side. One that the proxy does not take is closed."""
        task = asyncio.current_task()
        assert task is not None
        self.open.add(task)
        try:
            # A side that goes away without a word: the other learns of it by the end of its own connection.
            with contextlib.suppress(OSError):
                await self._carry(reader, writer)
        finally:
            self.open.discard(task)
            writer.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_proxy, to_proxy = await asyncio.open_connection(self.proxy.host, self.proxy.port)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_pump(reader, to_proxy))
                both.create_task(_pump(from_proxy, writer))
        except* OSError as errors:
            raise ConnectionError(str(errors)) from errors
        finally:
            to_proxy.close()

    async def cut_off(self) -> None:
        """End what is still open: its agent's time is over."""
        for task in self.open:
            task.cancel()
        await asyncio.gather(*self.open, return_exceptions=True)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy until the end, and pass the end on: a client that is gone must be gone for the proxy, too."""
    while chunk := await reader.read(CHUNK_BYTES):
        writer.write(chunk)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
