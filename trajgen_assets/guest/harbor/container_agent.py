"""What agents that run inside the trial's container have in common: key, way to the model, program.

The key of the trial goes into the environment of what is executed in that container, and nowhere else: no option,
command or file of Harbor holds it. An agent's program is the image's own, else that of a runtime mounted at
`/opt/trajgen-runtime/<agent>`, else Harbor's installer brings it.
"""

import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar
from urllib.parse import urlsplit

from agent_phase import InAgentPhase
from harbor.agents.installed.base import BaseInstalledAgent
from harbor.environments.base import BaseEnvironment
from trial_key import TrialKeyCredentials, refuse_other_name, trial_key, trial_of

RUNTIMES = PurePosixPath("/opt/trajgen-runtime")
REACH_S = 10
_VERSION = re.compile(r"\d+\.\d+\.\d+(?:\S*\w)?")  # without the full stop of a sentence

# No reports to third parties, and no downloads while a trial runs: of price lists, of newer versions, of plugins.
QUIET_ENV = {"DO_NOT_TRACK": "1", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}


class ProxyUnreachableError(RuntimeError):
    """The container cannot connect to the job's proxy."""


class AgentVersionError(RuntimeError):
    """The agent's program is there, and is not of the version that was asked for."""


class ContainerAgent(TrialKeyCredentials, InAgentPhase, BaseInstalledAgent):
    """It goes before Harbor's own class among the bases.

    Attributes:
        PROGRAM: what is executed, as it is found in the image.
        VERSION: the command that prints the version of PROGRAM; it fails where there is none.
    """

    PROGRAM: ClassVar[str]
    VERSION: ClassVar[str]

    def __init__(self, logs_dir: Path, *, extra_env: Mapping[str, str] | None = None, **options: Any) -> None:
        """Give the agent the key of the trial that logs into `logs_dir`, for all that it executes."""
        env = self.connection(proxy_url(), trial_key(trial_of(logs_dir)))
        super().__init__(logs_dir=logs_dir, extra_env={**(extra_env or {}), **QUIET_ENV, **env}, **options)

    @classmethod
    def connection(cls, url: str, key: str) -> dict[str, str]:
        """The environment that leads the agent to the proxy at `url` (without a path), and to no other endpoint."""
        raise NotImplementedError

    async def setup(self, environment: BaseEnvironment) -> None:
        """See that the key is this trial's and the proxy can be reached, then that the program is there."""
        refuse_other_name(self.session_id, trial_of(self.logs_dir))
        await refuse_unless_reached(environment, proxy_url())
        await super().setup(environment)

    async def install(self, environment: BaseEnvironment) -> None:
        """Take the program from the image, else from the mounted runtime, else let Harbor install it."""
        found = await self._found_version(environment)
        if found is None:
            if not await self._taken_from_runtime(environment):
                await super().install(environment)
            found = await self._found_version(environment)
        if self._version not in (None, found):
            raise AgentVersionError(f"{self.name()} {self._version} was asked for, and the container has {found}")
        self._version = found

    def get_version_command(self) -> str:
        return self.VERSION

    def parse_version(self, stdout: str) -> str:
        found = _VERSION.search(stdout)
        return found[0] if found else stdout.strip()

    async def _found_version(self, environment: BaseEnvironment) -> str | None:
        result = await environment.exec(command=f"set -o pipefail; {self.VERSION}")
        return self.parse_version(result.stdout or "") if result.return_code == 0 else None

    async def _taken_from_runtime(self, environment: BaseEnvironment) -> bool:
        """Let PROGRAM start what the runtime has under its name: a link would hide where the runtime lies."""
        program = PurePosixPath(self.PROGRAM)
        mounted = RUNTIMES / self.name() / "bin" / program.name
        starter = shlex.quote(f'#!/bin/sh\nexec {mounted} "$@"\n')
        target = program if program.is_absolute() else PurePosixPath("/usr/local/bin", program)
        command = (
            f"[ -x {mounted} ] && mkdir -p {target.parent} && printf %s {starter} > {target} && chmod 755 {target}"
        )
        result = await environment.exec(command=command, user="root")
        return result.return_code == 0


def proxy_url() -> str:
    """The proxy as a container reaches it."""
    return os.environ["TRAJGEN_PROXY_URL"].rstrip("/")


async def refuse_unless_reached(environment: BaseEnvironment, url: str) -> None:
    """Connect to the proxy from within the container: its firewall, or the host's, may be in the way.

    Raises:
        ProxyUnreachableError: there is no connection.
    """
    place = urlsplit(url)
    port = place.port or (443 if place.scheme == "https" else 80)
    command = f"timeout {REACH_S} bash -c '</dev/tcp/{place.hostname}/{port}'"
    result = await environment.exec(command=command, timeout_sec=2 * REACH_S)
    if result.return_code != 0:
        told = (result.stderr or result.stdout or "").strip().splitlines()[-1:]
        why = "".join(told)[:200] or f"no answer in {REACH_S} s"
        raise ProxyUnreachableError(
            f"the container cannot connect to the model proxy at {url}: {why}; "
            "let the host's firewall accept connections from Docker's bridges"
        )
