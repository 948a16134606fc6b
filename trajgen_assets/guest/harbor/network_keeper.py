"""Closes the network of an agent's container, and says how closed it is.

It is executed in a container of its own that shares that network and nothing else, by whatever Python this host has.
Its one argument is a JSON object:

    address         what of the proxy's address the container gets for itself, on its loopback; null: nothing
    port            where to listen there; the listening socket is handed over, and served from the host
    closes_names    whether the engine's name server is cut off, too
    probes          addresses that must have no route

It reports to a Unix socket of the host, stays until the other end is closed or says so, and takes everything back.
"""

import array
import contextlib
import errno
import fcntl
import json
import os
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SOCKET = "/keeper.sock"
NAME_SERVER = "127.0.0.11"  # where the engine answers in every container of a network of its own
NAMES_LIMIT_S = 0.5  # a name server on this host's loopback, the one that is reached all the same, answers at once
HYPERVISOR_PORT, HYPERVISOR_LIMIT_S = 1023, 0.5
ANSWERED = (0, 3)  # found, and not there: either way somebody outside was asked

# Of <linux/rtnetlink.h>, <linux/netlink.h>, <linux/if_addr.h> and <linux/if.h>.
NEW_ADDRESS, DELETE_ADDRESS, NEW_ROUTE, DELETE_ROUTE = 20, 21, 24, 25
REQUEST, CREATE_NEW = 0x1 | 0x4, 0x200 | 0x400
IFA_ADDRESS, IFA_LOCAL, RTA_DST, RTA_GATEWAY = 1, 2, 1, 5
TABLE_MAIN, TABLE_LOCAL, PROTOCOL_BOOT, UNREACHABLE = 254, 255, 3, 7
GET_FLAGS, IS_UP = 0x8913, 0x1


def keep(order: dict[str, Any], harbor: socket.socket) -> None:
    """Do what is ordered, report it with the listening socket, and take it back when `harbor` is done."""
    with contextlib.ExitStack() as taken_back:
        fds: list[int] = []
        try:
            listener = close(order, taken_back)
            fds = [] if listener is None else [listener.fileno()]
            report = look(order)
        except OSError as error:
            report = {"error": str(error)}
        _send(harbor, report, fds)
        harbor.recv(1)
    with contextlib.suppress(BrokenPipeError):  # whoever waited for it has been killed
        _send(harbor, {}, [])


def close(order: dict[str, Any], taken_back: contextlib.ExitStack) -> socket.socket | None:
    """Cut off what leads out, and listen in the proxy's place. All of it is undone when `taken_back` is closed.

    But for default routes: they belong to networks that the container leaves then. Engines of today give none in a
    network without a way out; earlier ones give one that leads to nobody, where each attempt would wait for seconds.
    """
    while (gateway := _default_gateway()) is not None:
        _ask_kernel(DELETE_ROUTE, 0, _route(0, TABLE_MAIN, 0) + _attribute(RTA_GATEWAY, gateway))
    if order["closes_names"]:
        taken_back.enter_context(_unreachable(NAME_SERVER))
    if order["address"] is None:
        return None
    taken_back.enter_context(_own_address(order["address"]))
    listener = taken_back.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((order["address"], order["port"]))
    listener.listen(128)
    return listener


def look(order: dict[str, Any]) -> dict[str, Any]:
    """What leads out of here: interfaces that are up, those with an IPv6 address, routes, and a name server."""
    return {
        "interfaces": sorted(name for _, name in socket.if_nameindex() if name != "lo" and _is_up(name)),
        "ipv6_interfaces": _ipv6_interfaces(),
        "routes": [address for address in order["probes"] if _has_route(address)],
        "names_are_answered": _names_are_answered(),
    }


def _is_up(name: str) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        request = struct.pack("=16sh22x", name.encode(), 0)
        (flags,) = struct.unpack_from("=h", fcntl.ioctl(asking, GET_FLAGS, request), 16)
    return bool(flags & IS_UP)


def _ipv6_interfaces() -> list[str]:
    try:
        rows = [line.split() for line in Path("/proc/net/if_inet6").read_text().splitlines()]
    except FileNotFoundError:  # a kernel without IPv6
        return []
    return sorted({row[5] for row in rows} - {"lo"})


def _has_route(address: str) -> bool:
    """Whether the kernel would send there. To connect a datagram socket sends nothing."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as asking:
            asking.connect((address, 9))
    except OSError:
        return False
    return True


def _names_are_answered() -> bool:
    """Whether the engine's name server passes a question on, which it may do outside of this network."""
    question = struct.pack("!6H", 1, 0x100, 1, 0, 0, 0) + b"\x09localhost\0" + struct.pack("!2H", 1, 1)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.settimeout(NAMES_LIMIT_S)
            asking.sendto(question, (NAME_SERVER, 53))
            return asking.recv(512)[3] & 0xF in ANSWERED
    except OSError:
        return False


def _reaches_hypervisor() -> bool:
    """Whether a virtual machine's host answers by AF_VSOCK, which belongs to no network and cannot be closed here."""
    try:
        with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as asking:
            asking.settimeout(HYPERVISOR_LIMIT_S)
            asking.connect((socket.VMADDR_CID_HOST, HYPERVISOR_PORT))
    except TimeoutError:
        return True
    except OSError as error:
        return error.errno in (errno.ECONNRESET, errno.ECONNREFUSED)
    return True


@contextlib.contextmanager
def _own_address(address: str) -> Iterator[None]:
    packed = socket.inet_aton(address)
    body = struct.pack("=4BI", socket.AF_INET, 32, 0, 0, socket.if_nametoindex("lo"))
    body += _attribute(IFA_LOCAL, packed) + _attribute(IFA_ADDRESS, packed)
    _ask_kernel(NEW_ADDRESS, CREATE_NEW, body)
    try:
        yield
    finally:
        _ask_kernel(DELETE_ADDRESS, 0, body)


@contextlib.contextmanager
def _unreachable(address: str) -> Iterator[None]:
    body = _route(32, TABLE_LOCAL, UNREACHABLE) + _attribute(RTA_DST, socket.inet_aton(address))
    _ask_kernel(NEW_ROUTE, CREATE_NEW, body)
    try:
        yield
    finally:
        _ask_kernel(DELETE_ROUTE, 0, body)


def _default_gateway() -> bytes | None:
    """The gateway of the first default route, as the kernel holds it."""
    rows = [line.split() for line in Path("/proc/net/route").read_text().splitlines()[1:]]
    gateways = (struct.pack("=I", int(row[2], 16)) for row in rows if int(row[1], 16) == int(row[7], 16) == 0)
    return next(gateways, None)


def _route(prefix_bits: int, table: int, kind: int) -> bytes:
    return struct.pack("=8BI", socket.AF_INET, prefix_bits, 0, 0, table, PROTOCOL_BOOT, 0, kind, 0)


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value


def _ask_kernel(kind: int, flags: int, body: bytes) -> None:
    """One request of rtnetlink. Raises OSError if the kernel refuses it."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        kernel.send(struct.pack("=IHHII", 16 + len(body), kind, REQUEST | flags, 1, 0) + body)
        (error,) = struct.unpack_from("=i", kernel.recv(4096), 16)
    if error:
        raise OSError(-error, os.strerror(-error), f"rtnetlink request {kind}")


def _send(harbor: socket.socket, report: dict[str, Any], fds: list[int]) -> None:
    passed = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    harbor.sendmsg([json.dumps(report).encode()], passed)


def _main(order: dict[str, Any]) -> None:
    if not Path(SOCKET).exists():
        with contextlib.ExitStack() as taken_back:
            close(order, taken_back)
            print(json.dumps({**look(order), "hypervisor": _reaches_hypervisor()}))  # noqa: T201  to who tries it out
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as harbor:
        harbor.connect(SOCKET)
        keep(order, harbor)


if __name__ == "__main__":
    _main(json.loads(sys.argv[1]))
