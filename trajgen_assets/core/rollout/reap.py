"""End all that a dead job left: processes by recorded id, containers and networks by label, sandboxes by folder."""

from dataclasses import dataclass

import yaml

from trajgen_assets.core.errors import BusyError
from trajgen_assets.core.paths import Root
from trajgen_assets.core.process import recorded_processes, stop_recorded
from trajgen_assets.core.rollout.docker import Leftovers, remove_leftovers
from trajgen_assets.core.rollout.plan import LOCAL_ENVIRONMENT, uses_docker
from trajgen_assets.core.rollout.sandboxes import remove_sandboxes
from trajgen_assets.core.rollout.slots import live_holders

STOP_GRACE_S = 30.0


@dataclass(frozen=True)
class Reaped:
    """What was ended."""

    pids: tuple[int, ...]
    docker: Leftovers
    sandboxes: bool

    def __str__(self) -> str:
        counts = {
            "processes": len(self.pids),
            "containers": len(self.docker.containers),
            "networks": len(self.docker.networks),
            "volumes": len(self.docker.volumes),
            "images": len(self.docker.images),
            "sandbox folders": int(self.sandboxes),
        }
        return ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "nothing was left"


def environment_of(root: Root, job: str) -> str:
    """The environment that a job's trials ran in, from the configuration that was kept with it."""
    try:
        kept = yaml.safe_load(root.job(job).config.read_text(encoding="utf-8"))
        return str(kept["runtime_info"]["input"]["harbor_job"]["environment"])
    except (OSError, yaml.YAMLError, KeyError, TypeError):  # it never got so far as to start a trial
        return LOCAL_ENVIRONMENT


def reap(root: Root, job: str, *, environment: str) -> Reaped:
    """End what `job` left behind. Safe to repeat, and safe where there is nothing.

    Args:
        environment: the environment that its trials ran in; Docker is asked only where it was used.

    Raises:
        BusyError: the job is running.
        RequirementError: its trials ran in Docker, and the engine does not answer.
    """
    if job in live_holders(root.locks):
        raise BusyError("the job is running", where=job, mend="cancel its run first; that settles it, too")
    pids = stop_recorded(recorded_processes(root.job(job).processes).values(), grace_s=STOP_GRACE_S)
    docker = remove_leftovers(job) if uses_docker(environment) else Leftovers()
    folder = root.sandboxes / job
    had_sandboxes = folder.exists()
    remove_sandboxes(folder)
    return Reaped(tuple(pids), docker, had_sandboxes)
