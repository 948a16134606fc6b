"""What an agent's container connects to is carried to the proxy: whole, both ways, and no longer than its time."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

from trajgen_assets.guest.harbor.proxy_relay import Place, relaying

MANY_BYTES = 8 << 20
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def listener() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


@contextlib.asynccontextmanager
async def relayed(serve: Serve) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection by way of a relay to a proxy that does `serve`."""
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as proxy:
        entrance, port = listener(), proxy.sockets[0].getsockname()[1]
        async with relaying(entrance, Place("127.0.0.1", port)):
            reader, writer = await asyncio.open_connection(*entrance.getsockname())
            yield reader, writer
        writer.close()


def test_many_bytes_arrive_whole_and_in_order_both_ways() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(1 << 14):
            writer.write(chunk)
            await writer.drain()
        writer.close()

    async def scene() -> None:
        sent = bytes(range(256)) * (MANY_BYTES // 256)
        async with relayed(echo) as (reader, writer):
            writer.write(sent)
            writer.write_eof()
            assert await reader.read(-1) == sent

    asyncio.run(scene())


def test_the_proxy_sees_a_client_go() -> None:
    async def scene() -> None:
        gone = asyncio.Event()

        async def wait_for_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(-1)
            gone.set()
            writer.close()

        async with relayed(wait_for_the_end) as (_, writer):
            writer.write(b"a request")
            await writer.drain()
            writer.close()
            await asyncio.wait_for(gone.wait(), 10)

    asyncio.run(scene())


def test_a_proxy_that_is_gone_ends_the_connection() -> None:
    async def scene() -> None:
        free = listener()
        place = Place(*free.getsockname())
        free.close()
        entrance = listener()
        async with relaying(entrance, place):
            reader, writer = await asyncio.open_connection(*entrance.getsockname())
            assert await asyncio.wait_for(reader.read(-1), 10) == b""
            writer.close()

    asyncio.run(scene())


def test_the_end_of_the_phase_cuts_what_is_open_and_lets_nobody_in() -> None:
    async def scene() -> None:
        began, ended = asyncio.Event(), asyncio.Event()

        async def stay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            began.set()
            with contextlib.suppress(ConnectionError):
                await reader.read(-1)
            ended.set()
            writer.close()

        async with await asyncio.start_server(stay, "127.0.0.1", 0) as proxy:
            entrance = listener()
            where = entrance.getsockname()
            async with relaying(entrance, Place("127.0.0.1", proxy.sockets[0].getsockname()[1])):
                reader, writer = await asyncio.open_connection(*where)
                await asyncio.wait_for(began.wait(), 10)
            await asyncio.wait_for(ended.wait(), 10)
            assert await asyncio.wait_for(reader.read(-1), 10) == b""
            writer.close()
            with contextlib.suppress(ConnectionRefusedError):
                await asyncio.open_connection(*where)
                raise AssertionError("somebody still listens")

    asyncio.run(scene())
