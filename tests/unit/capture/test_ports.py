"""A port that the configuration asks for: taken when it is free, told apart from a neighbour's when it is not."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.waiting import wait_until
from trajgen_assets.core.capture.ports import choose_port, ports_of_proxies
from trajgen_assets.core.errors import ProxyError

HOST = "127.0.0.1"
LISTENS = "import socket, sys, time; s = socket.create_server(('127.0.0.1', int(sys.argv[-1]))); time.sleep(60)"
STARTS = "import time; time.sleep(60)"


@contextmanager
def proxy_at(port: int, folder: Path, script: str = LISTENS) -> Iterator[None]:
    """A process that looks like a job's proxy from outside."""
    config = folder / "litellm_config.yaml"
    child = subprocess.Popen([sys.executable, "-c", script, "--config", config, "--host", HOST, "--port", str(port)])
    try:
        wait_until(lambda: port in ports_of_proxies() and (script != LISTENS or is_taken(port)), limit_s=20)
        yield
    finally:
        child.kill()
        child.wait()


def is_taken(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex((HOST, port)) == 0


@pytest.fixture
def port() -> int:
    """A port that is free, and that the kernel gives to nobody who asks for just any."""
    last = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    return next(n for n in range(last - 3000 + os.getpid() % 2000, last) if not any(map(is_taken, range(n, n + 3))))


def test_without_a_wanted_port_each_gets_one_that_is_free() -> None:
    assert choose_port(HOST, None) != choose_port(HOST, None)


def test_a_wanted_port_that_is_free_is_taken(port: int) -> None:
    assert choose_port(HOST, port) == port


def test_connections_that_linger_from_an_earlier_proxy_do_not_keep_the_next_one_away(port: int) -> None:
    with socket.create_server((HOST, port)) as server, socket.create_connection((HOST, port)) as client:
        accepted, _ = server.accept()
        accepted.close()  # the server's end closes first, and stays in TIME_WAIT
        assert client.recv(1) == b""
    assert choose_port(HOST, port) == port


def test_a_port_that_something_else_listens_at_is_refused_with_its_name_and_the_way_out(port: int) -> None:
    with socket.create_server((HOST, port)), pytest.raises(ProxyError) as caught:
        choose_port(HOST, port)
    assert f"port {port} cannot be used" in str(caught.value)
    assert f"(pid {os.getpid()}) listens there" in str(caught.value)
    assert "choose another litellm_proxy.port" in str(caught.value)


def test_a_listener_on_all_addresses_is_a_squatter_too(port: int) -> None:
    with socket.create_server(("", port)), pytest.raises(ProxyError, match="cannot be used"):
        choose_port(HOST, port)


def test_while_other_jobs_have_the_wanted_port_the_next_free_ones_follow(port: int, tmp_path: Path) -> None:
    with ExitStack() as stack:
        stack.enter_context(proxy_at(port, tmp_path))
        assert choose_port(HOST, port) == port + 1
        stack.enter_context(socket.create_server((HOST, port + 1)))
        assert choose_port(HOST, port) == port + 2


def test_a_proxy_that_does_not_listen_yet_has_its_port_already(port: int, tmp_path: Path) -> None:
    with proxy_at(port, tmp_path, STARTS):
        assert choose_port(HOST, port) == port + 1
