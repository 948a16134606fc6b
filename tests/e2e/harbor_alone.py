"""Harbor over some tasks, with no ledger and no proxy of its own: the same job configuration as ever."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trajgen_assets.core.atomic import write_json, write_yaml
from trajgen_assets.core.guest import guest_bundle
from trajgen_assets.core.intake.digest import task_digest
from trajgen_assets.core.paths import Root
from trajgen_assets.core.rollout.docker import compose_overlay, leftovers_of
from trajgen_assets.core.rollout.harbor import running_harbor
from trajgen_assets.core.rollout.plan import DOCKER_ENVIRONMENT, RolloutPlan, harbor_job_config
from trajgen_assets.core.rollout.results import TrialResult, read_trial_result

HARBOR_TIME_S = 240.0


def run_harbor_alone(
    root: Root,
    environment: str,
    agent: dict[str, Any],
    tasks: list[Path],
    guest_code: str = "",
    *,
    job: str = "",
    secrets: Mapping[str, str] = {},
) -> dict[str, TrialResult]:
    """Run one job to its end, and make sure that it left nothing behind. Returns each trial's result by task id.

    Args:
        agent: the entry in Harbor's job configuration, for example `{"name": "oracle"}`.
        guest_code: text of a module `agent_of_the_test` that Harbor can import.
        job: its name, if somebody else must know it.
        secrets: what Harbor's environment holds besides.
    """
    job = job or f"alone-{environment}-{os.getpid()}"
    files = root.job(job)
    guest = guest_bundle(files.proxy)
    (guest / "agent_of_the_test.py").write_text(guest_code)
    write_json(files.task_digests, {str(task): task_digest(task) for task in tasks})
    write_yaml(files.compose_overlay, compose_overlay(job))
    plan = RolloutPlan(
        job=job,
        jobs_dir=root.jobs,
        task_dirs=tasks,
        environment=environment,
        sandboxes=root.sandboxes / job,
        compose_overlay=files.compose_overlay,
        agent_import_path="",
        model="",
        agent_kwargs={},
        n_concurrent=2,
        timeout_multiplier=1.0,
    )
    config = harbor_job_config(plan) | {"agents": [agent]}
    secrets = {"TRAJGEN_JOB": job, "TRAJGEN_PROXY_DIR": str(files.proxy), "TRAJGEN_NETWORK": "open", **secrets}
    with (
        (root.path / "lock").open("w") as lock,
        running_harbor(
            harbor_env=root.env / "harbor-uv",
            files=files,
            guest=guest,
            config=config,
            secrets=secrets,
            lock_fd=lock.fileno(),
        ) as harbor,
    ):
        assert harbor.child.wait(HARBOR_TIME_S) == 0, harbor.log_tail()
    assert list(root.sandboxes.glob("*/*")) == []
    assert environment != DOCKER_ENVIRONMENT or not leftovers_of(job)
    results = (read_trial_result(path.parent) for path in files.dir.glob("*/result.json"))
    return {result.task_id or "": result for result in results if result is not None}
