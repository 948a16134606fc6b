"""What jobs start in Docker, and how it is found and ended again: by label, and nothing else."""

import json
import socket
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psutil

from trajgen_assets.core.errors import RequirementError
from trajgen_assets.core.process import child_env

DOCKER = "docker"
JOB_LABEL = "trajgen.job"
PROJECT_LABEL = "com.docker.compose.project"
HOST_NAME = "host.docker.internal"

CALL_TIMEOUT_S = 60.0
ENGINE_MEND = "start the Docker engine, or set harbor_job.environment to another one"


@dataclass(frozen=True)
class Leftovers:
    """What a job left in Docker, by id."""

    containers: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    images: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.containers or self.networks or self.volumes or self.images)


def compose_overlay(job: str, volumes: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """A compose file on top of each task's own.

    `init` gives the container a first process that heeds TERM: without it every stop costs Docker's whole grace
    period, 10 s. The label is on all that a trial makes, so that a killed job's leftovers can be told from others'.
    `volumes` come to those that the task has itself.
    """
    labels = {JOB_LABEL: job}
    service = {
        "init": True,
        "stop_grace_period": "1s",
        "labels": labels,
        "extra_hosts": [f"{HOST_NAME}:host-gateway"],
        "security_opt": ["no-new-privileges"],
        "pids_limit": 4096,
        **({"volumes": list(volumes)} if volumes else {}),
    }
    return {"services": {"main": service}, "networks": {"default": {"labels": labels}}}


def check_engine(timeout_s: float = CALL_TIMEOUT_S) -> str:
    """Make sure that the engine and compose v2 answer. Returns the engine's version.

    Raises:
        RequirementError: one of them does not.
    """
    version = ask_docker("version", "--format", "{{.Server.Version}}", timeout_s=timeout_s)
    what, mend = "docker compose v2 is missing", "install docker-compose-plugin"
    ask_docker("compose", "version", "--short", what=what, mend=mend, timeout_s=timeout_s)
    return version.strip()


def gateway_address() -> str:
    """The address under which containers on the default bridge reach this host, which `host-gateway` resolves to.

    It is that of the bridge's own interface: the engine does not always name a gateway for it.

    Raises:
        RequirementError: the engine does not answer, or its default bridge is not on this host.
    """
    bridge = json.loads(ask_docker("network", "inspect", "bridge"))[0]
    name = bridge["Options"].get("com.docker.network.bridge.name", "docker0")
    addresses = [each.address for each in psutil.net_if_addrs().get(name, []) if each.family == socket.AF_INET]
    if not addresses:
        mend = "use an engine of this host that has its default bridge (no bridge: none in its daemon.json)"
        raise RequirementError("Docker's default bridge has no address here", where=name, mend=mend)
    return addresses[0]


def leftovers_of(job: str) -> Leftovers:
    """All that `job` still has in Docker, running or not.

    Raises:
        RequirementError: the engine does not answer.
    """
    mine = f"label={JOB_LABEL}={job}"
    containers = _ids("ps", "--all", "--filter", mine)
    projects = sorted({_project(container) for container in containers} - {""})
    return Leftovers(
        containers,
        _ids("network", "ls", "--filter", mine),
        _of_projects("volume", projects),
        _of_projects("image", projects),
    )


def jobs_with_leftovers() -> set[str]:
    """Names of all jobs, of whatever root, that have a container or a network in Docker.

    Raises:
        RequirementError: the engine does not answer.
    """
    mine = ("--filter", f"label={JOB_LABEL}", "--format", f'{{{{.Label "{JOB_LABEL}"}}}}')
    return {*ask_docker("ps", "--all", *mine).split(), *ask_docker("network", "ls", *mine).split()}


def remove_leftovers(job: str) -> Leftovers:
    """Remove all that `job` still has in Docker. Returns what there was.

    Raises:
        RequirementError: the engine does not answer, or refuses.
    """
    found = leftovers_of(job)
    for kind, ids in (
        (("rm", "--force", "--volumes"), found.containers),
        (("network", "rm"), found.networks),
        (("volume", "rm", "--force"), found.volumes),
        (("image", "rm", "--force"), found.images),
    ):
        if ids:
            ask_docker(*kind, *ids)
    return found


def _of_projects(kind: str, projects: Iterable[str]) -> tuple[str, ...]:
    found = (_ids(kind, "ls", "--filter", f"label={PROJECT_LABEL}={project}") for project in projects)
    return tuple(dict.fromkeys(each for ids in found for each in ids))


def _project(container: str) -> str:
    return ask_docker("inspect", "--format", f'{{{{index .Config.Labels "{PROJECT_LABEL}"}}}}', container).strip()


def _ids(*arguments: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(ask_docker(*arguments, "--quiet").split()))


def ask_docker(
    *arguments: str,
    what: str = "Docker does not answer",
    mend: str = ENGINE_MEND,
    timeout_s: float = CALL_TIMEOUT_S,
) -> str:
    """What the docker client prints. Raises RequirementError when it is missing, fails, or takes too long."""
    try:
        done = subprocess.run(
            [DOCKER, *arguments],
            capture_output=True,
            text=True,
            env=child_env(),
            timeout=timeout_s,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except FileNotFoundError as error:
        raise RequirementError("the docker client is missing", where=DOCKER, mend="install Docker") from error
    except subprocess.TimeoutExpired as error:
        raise RequirementError(what, where=f"docker {arguments[0]}", why="no answer in time", mend=mend) from error
    if done.returncode != 0:
        why = done.stderr.strip().split("\n")[-1]
        raise RequirementError(what, where=f"docker {' '.join(arguments[:2])}", why=why, mend=mend)
    return done.stdout
