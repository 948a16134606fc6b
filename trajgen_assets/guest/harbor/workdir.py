"""The folder that an agent works in, read as a tar: by the engine or with a read-only program wherever that can be.

It is the task's `workdir`, else the one that the image names, else `/app`. An agent can replace every program of its
container, so none of those is asked where there is another way. Elsewhere it is the container's own tar, and the
report says so.
"""

import asyncio
import json
import shlex
import subprocess
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from harbor.constants import MAIN_SERVICE_NAME
from harbor.environments.base import BaseEnvironment
from harbor.environments.docker.docker import DockerEnvironment, _sanitize_docker_compose_project_name
from local_sandbox import LocalSandbox
from tar_entries import TarError

DEFAULT = "/app"
READ_TIMEOUT_S = 50.0
_ASK_TIMEOUT_S = 20.0

Consume = Callable[[IO[bytes]], None]


class WorkdirError(RuntimeError):
    """The folder cannot be found, or cannot be read as a whole."""


class Workdir(Protocol):
    """One such folder. `read_by` says by what it is read."""

    path: str
    read_by: str

    async def read(self, consume: Consume) -> None:
        """Let `consume` read the tar of what the folder holds now, in a thread. Raises WorkdirError."""


async def workdir_of(environment: BaseEnvironment) -> Workdir:
    """The working folder in `environment`, which runs. Raises WorkdirError where it cannot be found."""
    if isinstance(environment, LocalSandbox):
        return SandboxWorkdir(environment, _chosen(environment.workdir))
    if isinstance(environment, DockerEnvironment):
        return await asyncio.to_thread(_in_container, environment)
    asked = environment.task_env_config.workdir or (await environment.exec("pwd", timeout_sec=20)).stdout
    return CommandWorkdir(environment, _chosen((asked or "").strip()))


def _chosen(path: str) -> str:
    return path if path.strip("/") else DEFAULT


@dataclass(frozen=True)
class SandboxWorkdir:
    """In a local sandbox, whose programs are the host's."""

    environment: LocalSandbox
    path: str
    read_by: str = "sandbox"

    async def read(self, consume: Consume) -> None:
        """Read it with the host's tar, inside the sandbox."""
        failures: list[TarError | None] = []
        await self.environment.read_folder(
            self.path, lambda stream: failures.append(_failure_of(consume, stream)), timeout_s=READ_TIMEOUT_S
        )
        if failures[0] is not None:
            raise failures[0]


@dataclass(frozen=True)
class ContainerWorkdir:
    """In a container of a local engine."""

    engine: tuple[str, ...]
    container: str
    path: str
    read_by: str = "engine"

    async def read(self, consume: Consume) -> None:
        """Have the engine read it; nothing runs in the container."""
        await asyncio.to_thread(self._read, consume)

    def _read(self, consume: Consume) -> None:
        argv = [*self.engine, "cp", f"{self.container}:{self.path.rstrip('/')}/.", "-"]
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors)
            limit = threading.Timer(READ_TIMEOUT_S, process.kill)
            limit.start()
            try:
                assert process.stdout is not None
                failure = _failure_of(consume, process.stdout)
                return_code = process.wait()
            finally:
                limit.cancel()
                process.kill()
                process.wait()
            if return_code:
                errors.seek(0)
                said = errors.read(2000).decode(errors="replace").strip() or f"exit code {return_code}"
                raise WorkdirError(f"the engine did not read {self.path}: {said}") from failure
            if failure is not None:
                raise failure


@dataclass(frozen=True)
class CommandWorkdir:
    """In any other environment: packed by a command in it, which an agent could have replaced."""

    environment: BaseEnvironment
    path: str
    read_by: str = "command"

    async def read(self, consume: Consume) -> None:
        """Pack it beside, download that, and remove it."""
        packed = "/tmp/.workdir.tar"  # noqa: S108  in the container
        words = ["tar", "--create", f"--file={packed}", f"--directory={self.path}", "."]
        try:
            done = await self.environment.exec(shlex.join(words), user="root", timeout_sec=int(READ_TIMEOUT_S))
            if done.return_code not in {0, 1}:  # 1: a file changed meanwhile
                raise WorkdirError(f"tar did not read {self.path}: {(done.stderr or done.stdout or '')[-300:]}")
            with tempfile.TemporaryDirectory() as folder:
                target = Path(folder, "workdir.tar")
                await self.environment.download_file(packed, target)
                await asyncio.to_thread(_consume_file, target, consume)
        finally:
            await self.environment.exec(f"rm -f {packed}", user="root", timeout_sec=20)


def _failure_of(consume: Consume, stream: IO[bytes]) -> TarError | None:
    """What was no whole tar to `consume`, if anything: the sender knows better why. Other failures are raised."""
    with stream:
        try:
            consume(stream)
        except TarError as error:
            return error
    return None


def _consume_file(path: Path, consume: Consume) -> None:
    with path.open("rb") as file:
        consume(file)


def _in_container(environment: DockerEnvironment) -> ContainerWorkdir:
    """The container of the task's main service, found by the labels that compose gives it."""
    project = _sanitize_docker_compose_project_name(environment.session_id)
    labels = {"com.docker.compose.project": project, "com.docker.compose.service": MAIN_SERVICE_NAME}
    filters = [word for name, value in labels.items() for word in ("--filter", f"label={name}={value}")]
    found = _ask(environment, "ps", "--all", "--quiet", "--no-trunc", *filters).split()
    if len(found) != 1:
        raise WorkdirError(f"{len(found)} containers are called {MAIN_SERVICE_NAME} in project {project}")
    named = json.loads(_ask(environment, "inspect", "--format", "{{json .Config.WorkingDir}}", found[0]))
    path = environment.task_env_config.workdir or named or ""
    return ContainerWorkdir(tuple(type(environment).runtime().engine_cmd()), found[0], _chosen(path))


def _ask(environment: DockerEnvironment, *args: str) -> str:
    argv = type(environment).runtime().engine_cmd(*args)
    done = subprocess.run(argv, capture_output=True, text=True, timeout=_ASK_TIMEOUT_S, check=False)
    if done.returncode:
        raise WorkdirError(f"{' '.join(argv[:2])} failed: {done.stderr.strip()[-300:]}")
    return done.stdout
