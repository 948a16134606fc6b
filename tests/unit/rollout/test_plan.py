"""Job names are safe and unique, and the job configuration says what Harbor must not do by itself."""

from pathlib import Path

import pytest

from trajgen_assets.core.keys import is_safe_name
from trajgen_assets.core.rollout.plan import RolloutPlan, harbor_job_config, job_name


@pytest.mark.parametrize("model", ["openai/gpt-x", "hosted_vllm/Qwen/Qwen3 Coder", "a/" + "x" * 300, "openai/../.."])
def test_a_job_name_is_a_safe_folder_name(model: str) -> None:
    assert is_safe_name(job_name("py-cc", "terminus-2", "", model))


def test_two_jobs_of_one_second_have_two_names() -> None:
    assert len({job_name("py-cc", "terminus-2", "2.0", "openai/m") for _ in range(20)}) == 20


def test_harbor_is_told_not_to_retry_because_it_deletes_the_failed_attempt(tmp_path: Path) -> None:
    config = harbor_job_config(plan_in(tmp_path, environment="docker"))
    assert config["retry"] == {"max_retries": 0}
    assert config["environment"]["type"] == "docker"
    assert config["environment"]["extra_docker_compose"] == [str(tmp_path / "overlay.yaml")]


def test_the_local_environment_is_our_sandbox_without_network(tmp_path: Path) -> None:
    environment = harbor_job_config(plan_in(tmp_path, environment="local"))["environment"]
    assert environment["import_path"] == "local_sandbox:LocalSandbox"
    assert environment["kwargs"] == {"root_base": str(tmp_path / "sandboxes"), "network": "none"}


def plan_in(folder: Path, *, environment: str) -> RolloutPlan:
    return RolloutPlan(
        job="j",
        jobs_dir=folder / "jobs",
        task_dirs=[folder / "tasks" / "a"],
        environment=environment,
        sandboxes=folder / "sandboxes",
        compose_overlay=folder / "overlay.yaml",
        agent_import_path="trial_key_agent:TrialKeyTerminus2",
        model="openai/m",
        agent_kwargs={},
        n_concurrent=2,
        timeout_multiplier=1.0,
    )
