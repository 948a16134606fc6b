"""What a job is called, and the Harbor job configuration that it becomes."""

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trajgen_assets.core.clock import now

LOCAL_ENVIRONMENT = "local"
DOCKER_ENVIRONMENT = "docker"

_UNSAFE = re.compile(r"[^A-Za-z0-9._+-]+")


@dataclass(frozen=True)
class RolloutPlan:
    """All that Harbor is told about one job.

    Attributes:
        job: the job's name, which is also Harbor's.
        jobs_dir: folder in which Harbor makes the job's folder.
        task_dirs: staged task folders, in the order of the batch.
        environment: `local`, `docker`, or another environment that Harbor names.
        sandboxes: where the local environment keeps its trees while a trial runs.
        compose_overlay: the compose file that goes on top of each task's own, where trials run in Docker.
        agent_import_path: `module:Class` of the agent, in the guest folder.
        model: `provider/name` as the agent is to ask for it, at the proxy.
        agent_kwargs: the agent's own settings.
        timeout_multiplier: times each task's own timeouts.
        environment_options: settings of an environment of Harbor's.
    """

    job: str
    jobs_dir: Path
    task_dirs: Sequence[Path]
    environment: str
    sandboxes: Path
    compose_overlay: Path
    agent_import_path: str
    model: str
    agent_kwargs: dict[str, Any]
    n_concurrent: int
    timeout_multiplier: float
    environment_options: Mapping[str, Any] = field(default_factory=dict)


def job_name(dataset: str, agent: str, version: str, model: str) -> str:
    """`<dataset>-<agent>-<version>-<model>-<UTC yyyymmddHHMMSS>-<4 random hex digits>`, safe as a folder name."""
    parts = [dataset, agent, version, model.rsplit("/", 1)[-1]]
    named = "-".join(cleaned for part in parts if (cleaned := _UNSAFE.sub("_", part)[:48].strip("_-")))
    return f"{named}-{now():%Y%m%d%H%M%S}-{secrets.token_hex(2)}"


def harbor_job_config(plan: RolloutPlan) -> dict[str, Any]:
    """The file for `harbor run -c`. It holds no key: agents mint theirs from the environment of Harbor.

    Harbor's own retry is off, because it deletes the failed attempt; ours is a new attempt in a later job.
    """
    return {
        "job_name": plan.job,
        "jobs_dir": str(plan.jobs_dir),
        "n_concurrent_trials": plan.n_concurrent,
        "quiet": True,
        "skip_credential_checks": True,
        "retry": {"max_retries": 0},
        "timeout_multiplier": plan.timeout_multiplier,
        "environment": environment_config(plan),
        "agents": [
            {
                "import_path": plan.agent_import_path,
                "model_name": plan.model,
                "kwargs": plan.agent_kwargs,
            }
        ],
        "tasks": [{"path": str(folder)} for folder in plan.task_dirs],
    }


def environment_config(plan: RolloutPlan) -> dict[str, Any]:
    """What of it says where trials run."""
    if plan.environment == LOCAL_ENVIRONMENT:
        return {
            "import_path": "local_sandbox:LocalSandbox",
            "kwargs": {"root_base": str(plan.sandboxes), "network": "none"},
        }
    if uses_docker(plan.environment):
        return {"type": plan.environment, "delete": True, "extra_docker_compose": [str(plan.compose_overlay)]}
    return {"type": plan.environment, "delete": True, "kwargs": dict(plan.environment_options)}


def uses_docker(environment: str) -> bool:
    """Whether trials in this environment are containers of the local Docker engine."""
    return environment == DOCKER_ENVIRONMENT
