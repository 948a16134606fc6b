"""`harbor_job.network: proxy_only`: while the agent works, its container reaches the job's proxy and nothing else.

The container leaves all its networks for that time, so that not even a root in it has an interface to send by. Where
agents run in the container, the proxy's address is put on its loopback, and connections to it there are carried to the
proxy by this process. Before the agent begins, the keeper's report must say that nothing leads out.
"""

import ipaddress
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from ask_engine import NetworkIsolationError
from harbor.environments.base import BaseEnvironment
from harbor.environments.docker.docker import _sanitize_docker_compose_project_name as project_name_of
from harbor.models.environment_type import EnvironmentType
from keeper import Order, keeping
from local_sandbox import LocalSandbox
from project_networks import left_networks
from proxy_relay import Place, relaying

OPEN, PROXY_ONLY = "open", "proxy_only"
TOLD_LIMIT_S = 20

# The engine takes a container's own name from its hosts file when it leaves its network: `hostname` must still resolve.
_NAME_LINE = "127.0.1.1\t%s\\n"
_ADD_NAME = f"printf '{_NAME_LINE}' \"$(cat /etc/hostname)\" >> /etc/hosts"
_DROP_NAME = "kept=$(grep -v '^127\\.0\\.1\\.1[[:space:]]' /etc/hosts); printf '%s\\n' \"$kept\" > /etc/hosts"


class NetworkIsolation:
    """The part of an agent's phase that closes its network."""

    def __init__(self, environment: BaseEnvironment) -> None:
        self._environment = environment
        self._undone = AsyncExitStack()

    async def begin(self) -> None:
        """Close it. Raises NetworkIsolationError where that cannot be done, or not be seen to be done."""
        await self._undone.enter_async_context(isolated(self._environment))

    async def end(self) -> None:
        """Open it again, for the verifier. Raises NetworkIsolationError where it is not as it was."""
        await self._undone.aclose()


def isolation_of(environment: BaseEnvironment) -> list[NetworkIsolation]:
    """What this process's job asks for: nothing to do, or one part.

    Raises:
        NetworkIsolationError: it asks for isolation that there is not in this environment.
    """
    wanted = os.environ.get("TRAJGEN_NETWORK")  # what was not said is not open
    if wanted == OPEN or (isinstance(environment, LocalSandbox) and not environment.has_network):
        return []
    if wanted != PROXY_ONLY or environment.type() != EnvironmentType.DOCKER:
        raise NetworkIsolationError(f"network {wanted} is not possible in environment {environment.type()}")
    return [NetworkIsolation(environment)]


@asynccontextmanager
async def isolated(environment: BaseEnvironment) -> AsyncIterator[None]:
    """Keep the environment's network closed while the block runs."""
    job, proxy = os.environ["TRAJGEN_JOB"], proxy_for_containers(os.environ["TRAJGEN_PROXY_ADDRESS"])
    async with AsyncExitStack() as undone:
        closed = await undone.enter_async_context(left_networks(project_name_of(environment.session_id), job=job))
        await undone.enter_async_context(_own_name(environment))
        names = closed.n_networks > 0  # those of the task's other containers
        order = Order(closes_names=not names) if proxy is None else Order(proxy.host, proxy.port, not names)
        keeper = keeping(closed.main, order, job=job, n_networks=closed.n_networks)
        listener = await undone.enter_async_context(keeper)
        if proxy is not None:
            if listener is None:
                raise NetworkIsolationError("nothing listens in the proxy's place")
            await undone.enter_async_context(relaying(listener, proxy))
        yield


def proxy_for_containers(address: str) -> Place | None:
    """The proxy as containers reach it, of `host:port`; None for one on loopback, which serves agents on this host."""
    host, _, port = address.rpartition(":")
    try:
        found = ipaddress.IPv4Address(host)
        return None if found.is_loopback else Place(host, int(port))
    except ValueError as error:
        raise NetworkIsolationError(f"the proxy's address {address} is no IPv4 address with a port") from error


@asynccontextmanager
async def _own_name(environment: BaseEnvironment) -> AsyncIterator[None]:
    """Let the container's own name lead to itself."""
    await _told(environment, _ADD_NAME)
    try:
        yield
    finally:
        await _told(environment, _DROP_NAME)


async def _told(environment: BaseEnvironment, command: str) -> None:
    """Nothing is less closed where it fails; an agent may have taken away what it needs."""
    try:
        result = await environment.exec(command, user="root", timeout_sec=TOLD_LIMIT_S)
        problem = (result.stderr or result.stdout or "no word") if result.return_code != 0 else None
    except RuntimeError as error:  # as Harbor says that it took too long
        problem = str(error)
    if problem is not None:
        environment.logger.warning("the hosts file of the container could not be written: %s", problem)
