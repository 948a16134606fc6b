"""Checks of network isolation in real containers: `python network_checks.py NAME FOLDER` fails by exit code.

Run in Harbor's own Python by tests/integration/test_network_isolation.py, which names in the environment the address by
which containers reach this host (GATEWAY), another of its addresses (OTHER_ADDRESS), the image (IMAGE) and the job.
"""

import asyncio
import contextlib
import json
import logging
import os
import secrets
import shlex
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from ask_engine import NetworkIsolationError, ask_engine
from carried_through import carried_through
from harbor.environments.docker.docker import DockerEnvironment
from harbor.models.task.config import EnvironmentConfig
from harbor.models.trial.paths import TrialPaths
from keeper import refuse_unless_closed
from network_isolation import NetworkIsolation, isolated, isolation_of
from project_networks import other_way_out, project_of

CHECKS: dict[str, Callable[[Path], Awaitable[None]]] = {}
GATEWAY, OTHER_ADDRESS = os.environ["GATEWAY"], os.environ["OTHER_ADDRESS"]
IMAGE, JOB = os.environ["IMAGE"], os.environ["TRAJGEN_JOB"]
DOCUMENTATION, DOCUMENTATION_V6, METADATA = "198.51.100.7", "2001:db8::7", "169.254.169.254"

# Which of the named targets are reached: a connection that answers, a route, or a name that is known.
PROBE = r"""
import json, socket, sys
def reached(how, host, port):
    if how == "name":
        return bool(socket.getaddrinfo(host, port))
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM if how == "answer" else socket.SOCK_DGRAM) as trying:
        trying.settimeout(1)
        trying.connect((host, port))
        return how == "route" or trying.recv(2) == b"ok"
found = []
for name, target in json.loads(sys.argv[1]).items():
    try:
        found += [name] * reached(*target)
    except OSError:
        pass
print(json.dumps(found))
"""
ANSWERING = """
import socketserver
class Answer(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.send(b"ok")
socketserver.TCPServer(("", 8000), Answer).serve_forever()
"""
END_ALL = """
import os, signal
for pid in filter(str.isdigit, os.listdir("/proc")):
    if open(f"/proc/{pid}/comm").read() == "sleep\\n":
        os.kill(int(pid), signal.SIGKILL)
"""
SERVER = ["python3", "-c", ANSWERING]
SETTLING_S = 20.0
Targets = dict[str, tuple[str, str, int]]


def check(function: Callable[[Path], Awaitable[None]]) -> Callable[[Path], Awaitable[None]]:
    CHECKS[function.__name__] = function
    return function


@contextlib.asynccontextmanager
async def started(folder: Path, **compose: Any) -> AsyncIterator[DockerEnvironment]:
    """A trial's environment, its compose file changed by `compose`."""
    overlay = folder / "overlay.yaml"
    labels = {"trajgen.job": JOB}
    common = {"init": True, "stop_grace_period": "1s", "labels": labels}
    others = {name: {"image": IMAGE, **common, **service} for name, service in compose.get("services", {}).items()}
    services = {"main": common, **others}
    networks = {"default": {"labels": labels}, **compose.get("networks", {})}
    overlay.write_text(json.dumps({"services": services, "networks": networks}))
    (folder / "context").mkdir(exist_ok=True)
    environment = DockerEnvironment(
        environment_dir=folder / "context",
        environment_name="check",
        session_id=f"check-{secrets.token_hex(4)}__env",
        trial_paths=TrialPaths(folder / "trial"),
        task_env_config=EnvironmentConfig(docker_image=IMAGE),
        logger=logging.getLogger(),
        extra_docker_compose=[overlay],
    )
    environment.trial_paths.mkdir()
    try:
        await environment.start(force_build=False)
        yield environment
    finally:
        await environment.stop(delete=True)


@contextlib.asynccontextmanager
async def listening(host: str) -> AsyncIterator[int]:
    """A program of this host that answers each connection with `ok`; yields its port."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"ok")
        writer.close()

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    async with await asyncio.start_server(answer, host, 0, family=family) as server:
        yield server.sockets[0].getsockname()[1]


@contextlib.asynccontextmanager
async def proxied(host: str = GATEWAY) -> AsyncIterator[int]:
    """What stands for the job's proxy; yields its port."""
    async with listening(host) as port:
        os.environ["TRAJGEN_PROXY_ADDRESS"] = f"{host}:{port}"
        yield port


@contextlib.asynccontextmanager
async def stranger(network: str) -> AsyncIterator[str]:
    """A container of somebody else in `network`; yields its address."""
    label = f"trajgen.job={JOB}"
    made = await ask_engine(
        "run", "--detach", "--rm", "--label", label, "--network", network, "--network-alias", "stranger", IMAGE, *SERVER
    )
    try:
        inspected = json.loads(await ask_engine("inspect", made.strip()))[0]
        yield inspected["NetworkSettings"]["Networks"][network]["IPAddress"]
    finally:
        await ask_engine("rm", "--force", made.strip())


async def reached_from(environment: DockerEnvironment, targets: Targets, service: str = "main") -> set[str]:
    command = f"python3 -c {shlex.quote(PROBE)} {shlex.quote(json.dumps(targets))}"
    result = await environment.service_exec(command, service=service, user="root")
    assert result.return_code == 0, result
    return set(json.loads(result.stdout))


async def unreached_at_last(environment: DockerEnvironment, targets: Targets) -> set[str]:
    """What is not reached even after a while: an address over IPv6 is of no use before the kernel has tried it."""
    ends_at = time.monotonic() + SETTLING_S
    while (left := set(targets) - await reached_from(environment, targets)) and time.monotonic() < ends_at:
        await asyncio.sleep(1)
    return left


async def networks_of(environment: DockerEnvironment) -> list[tuple[str, str, tuple[str, ...], tuple[str, ...]]]:
    project = await project_of(environment.session_id)
    return sorted((each.container, each.network, tuple(sorted(each.names)), each.options) for each in project.endpoints)


@contextlib.contextmanager
def refused(*parts: str) -> Iterator[None]:
    said = None
    try:
        yield
    except NetworkIsolationError as error:
        said = str(error)
    assert said is not None, f"not refused: {parts}"
    assert all(part in said for part in parts), said


@contextlib.contextmanager
def client_that(folder: Path, case: str) -> Iterator[None]:
    """A docker client on PATH that does `case` of a shell's `case "$*" in` first."""
    client = folder / "bin" / "docker"
    client.parent.mkdir(exist_ok=True)
    before = os.environ["PATH"]
    client.write_text(f'#!/bin/sh\ncase "$*" in {case} ;; esac\nPATH={shlex.quote(before)} exec docker "$@"\n')
    client.chmod(0o755)
    os.environ["PATH"] = f"{client.parent}:{before}"
    try:
        yield
    finally:
        os.environ["PATH"] = before


@check
async def only_the_proxy_is_reached_and_afterwards_all_is_as_it_was(folder: Path) -> None:
    subnet = f"fd{secrets.token_hex(1)}:{secrets.token_hex(2)}:{secrets.token_hex(2)}::"
    second = {"enable_ipv6": True, "ipam": {"config": [{"subnet": f"{subnet}/64"}]}, "labels": {"trajgen.job": JOB}}
    main = {"networks": {"default": {"aliases": ["other-name"]}, "second": {}}}
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        environment = await enter(started(folder, services={"main": main}, networks={"second": second}))
        proxy, port, port_v6 = await enter(proxied()), await enter(listening("0.0.0.0")), await enter(listening("::"))
        address = await enter(stranger(f"{environment.session_id}_second"))
        targets: Targets = {
            "proxy": ("answer", GATEWAY, proxy),
            "host at the gateway": ("answer", GATEWAY, port),
            "host at another address": ("answer", OTHER_ADDRESS, port),
            "host over IPv6": ("answer", f"{subnet}1", port_v6),
            "other container": ("answer", address, 8000),
            "other container by name": ("name", "stranger", 8000),
            "metadata": ("route", METADATA, 80),
            "outside": ("route", DOCUMENTATION, 80),
            "outside over IPv6": ("route", DOCUMENTATION_V6, 80),
        }
        before = await networks_of(environment)
        assert len(before) == 2
        assert await unreached_at_last(environment, targets) == set()
        async with isolated(environment):
            assert await reached_from(environment, targets) == {"proxy"}
            unknown = await environment.exec("getent hosts example.org", timeout_sec=2)
            assert unknown.return_code != 0, unknown
            own_name = await environment.exec('getent hosts "$(hostname)"')
            assert own_name.return_code == 0, own_name
        assert await networks_of(environment) == before
        assert await unreached_at_last(environment, targets) == set()
        hosts = await environment.exec("cat /etc/hosts")
        assert "127.0.1.1" not in hosts.stdout
        assert f"\t{before[0][0][:12]}" in hosts.stdout


@check
async def other_services_of_the_task_stay_reachable_and_lead_nowhere(folder: Path) -> None:
    services = {"main": {}, "db": {"command": SERVER, "networks": {"default": {"aliases": ["store"]}}}}
    async with contextlib.AsyncExitStack() as stack:
        environment = await stack.enter_async_context(started(folder, services=services))
        proxy = await stack.enter_async_context(proxied())
        port = await stack.enter_async_context(listening("0.0.0.0"))
        host: Targets = {
            "host at the gateway": ("answer", GATEWAY, port),
            "host at another address": ("answer", OTHER_ADDRESS, port),
        }
        far: Targets = {"outside": ("route", DOCUMENTATION, 80), "metadata": ("route", METADATA, 80)}
        db: Targets = {"db": ("answer", "db", 8000), "db by its other name": ("answer", "store", 8000)}
        model: Targets = {"proxy": ("answer", GATEWAY, proxy)}
        before = await networks_of(environment)
        assert await reached_from(environment, {**host, **db, **model}) == {*host, *db, *model}
        assert await reached_from(environment, {**host, **db, **model}, "db") == {*host, *db, *model}
        async with isolated(environment):
            assert await reached_from(environment, {**host, **far, **db, **model}) == {*db, *model}
            assert await reached_from(environment, {**host, **db, **model}, "db") == set(db)
        assert await networks_of(environment) == before
        assert await reached_from(environment, {**host, **db, **model}) == {*host, *db, *model}
        left = await ask_engine("network", "ls", "--quiet", "--filter", f"name={environment.session_id}_agent")
        assert not left


@check
async def an_engine_that_does_not_do_as_it_is_told_means_no_agent(folder: Path) -> None:
    async with started(folder) as environment, proxied():
        before = await networks_of(environment)
        failures = {
            '"network disconnect"*) exit 0': ["is not closed", "1 interfaces where 0 should be"],
            '"run "*) echo no >&2; exit 125': ["docker run", "no"],
        }
        for case, parts in failures.items():
            with client_that(folder, case), refused(*parts):
                async with isolated(environment):
                    raise AssertionError("the agent ran")
            assert await networks_of(environment) == before, case


@check
async def an_engine_that_does_not_give_the_network_back_means_no_verifier(folder: Path) -> None:
    async with started(folder) as environment, proxied():
        with refused("docker network connect: no"), client_that(folder, '"network connect"*) echo no >&2; exit 1'):
            async with isolated(environment):
                pass
        await ask_engine("network", "connect", f"{environment.session_id}_default", (await networks_left(environment)))
        with refused("are not in the networks"), client_that(folder, '"network connect"*) exit 0'):
            async with isolated(environment):
                pass


async def networks_left(environment: DockerEnvironment) -> str:
    project = await project_of(environment.session_id)
    assert project.endpoints == ()
    return project.main


@check
async def what_no_leaving_of_networks_closes_is_refused(folder: Path) -> None:
    ways = {
        "it uses the host's network": ("--network", "host"),
        "it uses the network of a container of somebody else": ("--network", "container:%s"),
        "it is privileged": ("--privileged",),
        "sees the host's processes": ("--pid", "host"),
        "the engine's socket": ("--volume", "/var/run/docker.sock:/var/run/docker.sock"),
    }
    async with created() as other:
        for expected, options in ways.items():
            async with created(*(option.replace("%s", other) for option in options)) as container:
                (inspected,) = json.loads(await ask_engine("inspect", container))
                assert expected in str(other_way_out(inspected, [container])), expected
        (inspected,) = json.loads(await ask_engine("inspect", other))
        assert other_way_out(inspected, [other]) is None


@contextlib.asynccontextmanager
async def created(*options: str) -> AsyncIterator[str]:
    """A container that is not started: this host may not be allowed to."""
    container = (await ask_engine("create", "--label", f"trajgen.job={JOB}", *options, IMAGE, "true")).strip()
    try:
        yield container
    finally:
        await ask_engine("rm", container)


async def cancelled_in_mid_beginning(environment: DockerEnvironment) -> asyncio.Task[None]:
    """A beginning that is cancelled when the networks are left. On a busy host it may be over before that is seen."""
    for _ in range(5):
        part = NetworkIsolation(environment)
        beginning = asyncio.create_task(part.begin())
        while await networks_of(environment):
            await asyncio.sleep(0)
        if beginning.cancel():
            return beginning
        await part.end()
    raise AssertionError("the beginning was always over before it could be cancelled")


@check
async def an_agent_that_is_out_of_time_leaves_the_network_as_it_was(folder: Path) -> None:
    async with started(folder) as environment, proxied():
        before = await networks_of(environment)
        closed = asyncio.Event()

        async def work() -> None:
            part = NetworkIsolation(environment)
            await part.begin()
            closed.set()
            try:
                await asyncio.Event().wait()
            finally:
                await carried_through(part.end(), limit_s=60)

        agent = asyncio.create_task(work())
        await closed.wait()
        assert await networks_of(environment) == []
        agent.cancel()
        await asyncio.wait({agent})
        assert agent.cancelled()
        assert await networks_of(environment) == before

        beginning = await cancelled_in_mid_beginning(environment)
        await asyncio.wait({beginning})
        assert beginning.cancelled(), beginning
        assert await networks_of(environment) == before


@check
async def a_container_that_the_agent_ends_is_not_started_again_into_an_open_network(folder: Path) -> None:
    main = {"restart": "on-failure:7"}
    async with started(folder, services={"main": main}) as environment, proxied():
        container = (await project_of(environment.session_id)).main
        state = "{{.State.Status}} {{.HostConfig.RestartPolicy.Name}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}"
        with refused("0 containers run as main"):
            async with isolated(environment):
                await environment.exec(f"python3 -c {shlex.quote(END_ALL)}", user="root")
                await ask_engine("wait", container)
                assert (await ask_engine("inspect", "--format", state, container)).split() == ["exited", "no", "0"]
            assert (await ask_engine("inspect", "--format", state, container)).split() == ["exited", "on-failure", "7"]
            await project_of(environment.session_id)


@check
async def every_way_out_is_named(folder: Path) -> None:
    closed = {"interfaces": ["eth0"], "ipv6_interfaces": [], "routes": [], "names_are_answered": False}
    refuse_unless_closed(closed, 1)
    ways: dict[str, dict[str, Any]] = {
        "2 interfaces where 1 should be": {"interfaces": ["eth0", "eth1"]},
        "an IPv6 address on eth0": {"ipv6_interfaces": ["eth0"]},
        "a route to 192.0.2.1": {"routes": ["192.0.2.1"]},
        "a name server that asks others": {"names_are_answered": True},
        "could not be closed: Operation not permitted": {"error": "Operation not permitted"},
    }
    for expected, found in ways.items():
        with refused(expected):
            refuse_unless_closed({**closed, **found}, 1)


@check
async def a_job_that_asks_for_it_gets_it_or_no_agent(folder: Path) -> None:
    environment = DockerEnvironment.__new__(DockerEnvironment)
    for wanted, n_parts in (("open", 0), ("proxy_only", 1)):
        os.environ["TRAJGEN_NETWORK"] = wanted
        assert len(isolation_of(environment)) == n_parts
    del os.environ["TRAJGEN_NETWORK"]
    with refused("None"):
        isolation_of(environment)
    os.environ["TRAJGEN_NETWORK"] = "proxy-only"
    with refused("proxy-only"):
        isolation_of(environment)
    os.environ["TRAJGEN_NETWORK"] = "proxy_only"
    with refused("is no IPv4 address"):
        os.environ["TRAJGEN_PROXY_ADDRESS"] = "proxy.example:4000"
        async with isolated(environment):
            pass


if __name__ == "__main__":
    asyncio.run(CHECKS[sys.argv[1]](Path(sys.argv[2])))  # type: ignore[arg-type]
