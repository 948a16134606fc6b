"""The keeper of an agent's network, as Harbor's process sees it: started, asked how closed it is, and ended."""

import asyncio
import json
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ask_engine import NetworkIsolationError, ask_engine
from keeper_container import SCRIPT, keeper_argv

LIMIT_S = 60.0
REPORT_BYTES = 1 << 16

# Addresses of documentation, and where clouds tell a machine its secrets: no route may lead to any of them.
PROBES = ("192.0.2.1", "203.0.113.1", "2001:db8::1", "169.254.169.254", "fd00:ec2::254")

NAMES_LEAK = "a name server that asks others: list some in `dns` of the engine's daemon.json that are not on loopback"


@dataclass(frozen=True)
class Order:
    """What a keeper is to do; `network_keeper.py` says what each field means."""

    address: str | None = None
    port: int = 0
    closes_names: bool = True
    probes: tuple[str, ...] = PROBES


@asynccontextmanager
async def keeping(container: str, order: Order, *, job: str, n_networks: int) -> AsyncIterator[socket.socket | None]:
    """Keep the network of `container` closed while the block runs; yields the socket that listens in the proxy's place.

    Args:
        container: id of the agent's container.
        job: whose keeper it is, for its label.
        n_networks: how many networks the container is in on purpose; none of them leads out.

    Raises:
        NetworkIsolationError: the keeper did not start, or something leads out, or not all was taken back.
    """
    async with _started(container, order, job) as connection:
        report, handed_over = await _received(connection)
        try:
            refuse_unless_closed(report, n_networks)
            yield handed_over
        finally:
            if handed_over is not None:
                handed_over.close()
            await _end(connection)


def refuse_unless_closed(report: dict[str, Any], n_networks: int) -> None:
    """Take the keeper's word for it, field by field.

    Raises:
        NetworkIsolationError: the keeper failed, or there is a way out.
    """
    if "error" in report:
        raise NetworkIsolationError(f"the agent's network could not be closed: {report['error']}")
    ways = [
        *(f"a route to {address}" for address in report["routes"]),
        *(f"an IPv6 address on {name}" for name in report["ipv6_interfaces"]),
        *([NAMES_LEAK] if report["names_are_answered"] else []),
    ]
    if len(report["interfaces"]) != n_networks:
        ways.append(f"{len(report['interfaces'])} interfaces where {n_networks} should be")
    if ways:
        raise NetworkIsolationError(f"the agent's network is not closed: it has {', '.join(ways)}")


@asynccontextmanager
async def _started(container: str, order: Order, job: str) -> AsyncIterator[socket.socket]:
    """A keeper that runs as long as the block does; yields the connection to it."""
    with tempfile.TemporaryDirectory(prefix="trajgen-keeper-") as folder, _listening(Path(folder, "s")) as listener:
        keeper = (await ask_engine(*_argv(container, order, job, Path(folder, "s")))).strip()
        try:
            accepted = await _within(asyncio.get_running_loop().sock_accept(listener), "the keeper did not start")
            with closing(accepted[0]) as connection:
                yield connection
        finally:
            await ask_engine("rm", "--force", keeper)


def _argv(container: str, order: Order, job: str, path: Path) -> list[str]:
    return keeper_argv(
        network=f"container:{container}",
        job=job,
        python=Path(sys.executable),
        script=Path(__file__).with_name(SCRIPT),
        order=json.dumps(asdict(order)),
        socket=path,
    )


def _listening(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        listener.bind(str(path))
        path.chmod(0o666)  # its folder is ours alone; the keeper sees the socket without it, as another user perhaps
        listener.listen(1)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise NetworkIsolationError(f"no socket for the keeper at {path}: {error}") from error
    return listener


async def _received(connection: socket.socket) -> tuple[dict[str, Any], socket.socket | None]:
    """What the keeper says, with the socket that it hands over."""
    connection.settimeout(LIMIT_S)
    what = "the keeper ended before it reported"
    said, fds, _, _ = await _within(asyncio.to_thread(socket.recv_fds, connection, REPORT_BYTES, 1), what)
    if not said:
        raise NetworkIsolationError(what)
    report: dict[str, Any] = json.loads(said)
    return report, socket.socket(fileno=fds[0]) if fds else None


async def _end(connection: socket.socket) -> None:
    """Let the keeper take back what it did, and wait until it has."""
    what = "the keeper did not take back what it did"
    try:
        connection.send(b"1")
        if not await _within(asyncio.to_thread(connection.recv, REPORT_BYTES), what):
            raise NetworkIsolationError(what)
    except OSError as error:
        raise NetworkIsolationError(f"{what}: {error}") from error


async def _within(awaited: Any, what: str) -> Any:
    try:
        return await asyncio.wait_for(awaited, LIMIT_S)
    except TimeoutError as error:
        raise NetworkIsolationError(f"{what} in {LIMIT_S:g} s") from error
