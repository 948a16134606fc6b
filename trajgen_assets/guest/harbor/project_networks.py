"""The networks of one trial's containers: left while the agent works, and joined again after it.

A network that several of the containers share has a closed twin meanwhile, under the same names: what the task
declares beside the agent's container stays reachable, and none of it leads out.
"""

import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ask_engine import NetworkIsolationError, ask_engine
from keeper_container import JOB_LABEL

PROJECT_LABEL, SERVICE_LABEL = "com.docker.compose.project", "com.docker.compose.service"
MAIN = "main"
ENGINE_SOCKET = "docker.sock"
DEFAULT_BRIDGE, NO_NETWORK = "bridge", "none"

# No address of this host on the bridge, so none of its ports.
CLOSED = ("--internal", "--ipv6=false", "--opt", "com.docker.network.bridge.inhibit_ipv4=true")


@dataclass(frozen=True)
class Endpoint:
    """One container in one network, and how it is known there.

    Attributes:
        options: what `docker network connect` is told, beyond names, to make it the same again.
    """

    container: str
    network: str
    network_name: str
    names: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    async def join(self) -> None:
        names = [] if self.network_name == DEFAULT_BRIDGE else [f"--alias={name}" for name in self.names]
        await ask_engine("network", "connect", *names, *self.options, self.network, self.container)

    async def leave(self) -> None:
        await ask_engine("network", "disconnect", self.network, self.container)


@dataclass(frozen=True)
class Project:
    """The containers of one trial.

    Attributes:
        restarted: those that the engine starts again when they end, each with its `--restart`.
    """

    name: str
    main: str
    containers: tuple[str, ...]
    endpoints: tuple[Endpoint, ...]
    restarted: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Closed:
    """A trial's containers apart from all networks but the twins of their own."""

    main: str
    n_networks: int


@asynccontextmanager
async def left_networks(project_name: str, *, job: str) -> AsyncIterator[Closed]:
    """Take every container of the project out of its networks while the block runs.

    Raises:
        NetworkIsolationError: the engine refuses a step, or a container has a way out that is no network of it. Before
            the block: as much as can be is as it was. After it: not all is as it was.
    """
    project = await project_of(project_name)
    async with AsyncExitStack() as stack:
        _afterwards(stack, partial(_refuse_unless_restored, project))
        for container, policy in project.restarted:  # it would be in its first network again, which leads out
            await _restart(container, "no")
            _afterwards(stack, partial(_restart, container, policy))
        for endpoint in project.endpoints:
            await endpoint.leave()
            _afterwards(stack, endpoint.join)
        twins = {network: await _twin(project, network, job, stack) for network in _shared(project)}
        joined = [replace(each, network=twins[each.network], network_name="", options=())
                  for each in project.endpoints if each.network in twins]  # fmt: skip
        for endpoint in joined:
            await endpoint.join()
            _afterwards(stack, endpoint.leave)
        yield Closed(project.main, sum(each.container == project.main for each in joined))


def _afterwards(stack: AsyncExitStack, undo: Callable[[], Awaitable[None]]) -> None:
    """Let `stack` do `undo`. What first went wrong is said, and not what could not be undone because of it."""

    async def at_exit(_: object, error: BaseException | None, __: object) -> None:
        try:
            await undo()
        except NetworkIsolationError as another:
            if not isinstance(error, NetworkIsolationError):
                raise
            error.add_note(str(another))

    stack.push_async_exit(at_exit)


async def project_of(name: str) -> Project:
    """What runs in a compose project.

    Raises:
        NetworkIsolationError: the agent's container is not there, or one has a way out that is no network of it.
    """
    ids = (await ask_engine("ps", "--quiet", "--no-trunc", "--filter", f"label={PROJECT_LABEL}={name}")).split()
    inspected: list[dict[str, Any]] = json.loads(await ask_engine("inspect", *ids)) if ids else []
    mains = [each["Id"] for each in inspected if each["Config"]["Labels"].get(SERVICE_LABEL) == MAIN]
    if len(mains) != 1:
        raise NetworkIsolationError(f"{len(mains)} containers run as {MAIN} in project {name}, not one")
    for each in inspected:
        if (way := other_way_out(each, ids)) is not None:
            raise NetworkIsolationError(f"container {each['Name'].lstrip('/')} cannot be isolated: {way}")
    endpoints = [endpoint for each in inspected for endpoint in endpoints_of(each)]
    policies = [(each["Id"], _restart_policy(each)) for each in inspected]
    restarted = tuple((container, policy) for container, policy in policies if policy is not None)
    return Project(name, mains[0], tuple(ids), tuple(endpoints), restarted)


def endpoints_of(inspected: dict[str, Any]) -> list[Endpoint]:
    """The networks that a container is in, by what `docker inspect` says of it."""
    networks = inspected["NetworkSettings"]["Networks"] or {}
    return [
        Endpoint(inspected["Id"], found["NetworkID"], name, _names(inspected["Id"], found), _options(found))
        for name, found in networks.items()
        if name != NO_NETWORK
    ]


def _names(container: str, found: dict[str, Any]) -> tuple[str, ...]:
    """Its names in a network, but for the one that the engine gives it by itself."""
    return tuple(name for name in found.get("Aliases") or () if not container.startswith(name))


def _options(found: dict[str, Any]) -> tuple[str, ...]:
    wanted = found.get("IPAMConfig") or {}
    addresses = {"--ip": wanted.get("IPv4Address"), "--ip6": wanted.get("IPv6Address")}
    drivers = [f"--driver-opt={name}={value}" for name, value in (found.get("DriverOpts") or {}).items()]
    priority = [f"--gw-priority={found['GwPriority']}"] if found.get("GwPriority") else []
    links = [f"--link={link}" for link in found.get("Links") or ()]
    return (*(f"{name}={value}" for name, value in addresses.items() if value), *drivers, *priority, *links)


def other_way_out(inspected: dict[str, Any], project: Sequence[str]) -> str | None:
    """What leads a container out that leaving its networks does not end; None if nothing does."""
    host = inspected["HostConfig"]
    mode: str = host["NetworkMode"]
    if mode == "host":
        return "it uses the host's network"
    if mode.startswith("container:") and mode.partition(":")[2] not in project:
        return "it uses the network of a container of somebody else"
    if host["Privileged"] or host["PidMode"] == "host":
        return "it is privileged, or sees the host's processes"
    if any(str(mount.get("Source", "")).endswith(ENGINE_SOCKET) for mount in inspected["Mounts"]):
        return "the engine's socket is mounted"
    return None


def _restart_policy(inspected: dict[str, Any]) -> str | None:
    policy = inspected["HostConfig"].get("RestartPolicy") or {}
    if (name := policy.get("Name") or "no") == "no":
        return None
    limit = policy.get("MaximumRetryCount")
    return f"{name}:{limit}" if limit else name


async def _restart(container: str, policy: str) -> None:
    await ask_engine("update", f"--restart={policy}", container)


def _shared(project: Project) -> list[str]:
    counts = Counter(each.network for each in project.endpoints)
    return [network for network, n in counts.items() if n > 1]


async def _twin(project: Project, network: str, job: str, stack: AsyncExitStack) -> str:
    """A network of the project's own that leads nowhere else, and is removed with `stack`. Returns its id."""
    name = f"{project.name}_agent_{network[:12]}"
    made = (await ask_engine("network", "create", *CLOSED, "--label", f"{JOB_LABEL}={job}", name)).strip()
    _afterwards(stack, partial(_remove_network, made))
    return made


async def _remove_network(network: str) -> None:
    await ask_engine("network", "rm", network)


async def _refuse_unless_restored(project: Project) -> None:
    """Hold each container that still runs against what it was; one that ended is Harbor's to notice."""
    inspected = json.loads(await ask_engine("inspect", *project.containers))
    running = [each for each in inspected if each["State"]["Running"]]
    ids = {each["Id"] for each in running}
    found = {(each.container, each.network) for one in running for each in endpoints_of(one)}
    if found != {(each.container, each.network) for each in project.endpoints if each.container in ids}:
        raise NetworkIsolationError(f"the containers of {project.name} are not in the networks that they were in")
