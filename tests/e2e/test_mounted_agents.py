"""Agents that the image lacks, mounted from a runtime that was built: the bundled tasks, rolled out as they are."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.docker import needs_docker
from tests.e2e.conftest import KEY_ENV, SECRET, TASKS, Installation, files_with
from trajgen_assets.core.config.scaffolds import SUPPORTED_SCAFFOLDS
from trajgen_assets.core.exit_codes import EXIT_REFUSED
from trajgen_assets.core.ledger.store import open_ledger
from trajgen_assets.core.paths import Root
from trajgen_assets.core.report.archive import read_metadata, read_runs
from trajgen_assets.core.rollout.docker import leftovers_of
from trajgen_assets.core.rollout.trials import load_trials
from trajgen_assets.core.runtimes.catalogue import BLUEPRINTS
from trajgen_assets.core.runtimes.manifest import RuntimeManifest
from trajgen_assets.core.scripted import ScriptedModel

pytestmark = [pytest.mark.e2e, pytest.mark.faults, needs_docker, pytest.mark.timeout(900)]

TASK = "fernhollow__stanzaconf-87"


@pytest.fixture
def in_docker(tmp_path: Path, env_dir: Path) -> Iterator[Installation]:
    """A root with a store of its own: what is built here is no runtime of other tests."""
    own = tmp_path / "env"
    own.mkdir()
    for name in ("harbor-uv", "litellm-venv"):
        (own / name).symlink_to((env_dir / name).resolve())
    made = Installation(Root(tmp_path / "root", own))
    yield made
    with open_ledger(made.root) as ledger:
        jobs = [job.name for job in ledger.jobs()]
    assert [job for job in jobs if leftovers_of(job)] == []


def configure(installation: Installation, model: ScriptedModel, **agent: object) -> None:
    installation.root.path.mkdir(parents=True, exist_ok=True)
    api = {"model": "openai/scripted", "api_base_url": model.base_url, "api_key": f"${{{KEY_ENV}}}"}
    inputs = {
        "llm_api": api,
        "task_source": {"dataset_name": str(TASKS)},
        "harbor_job": {"environment": "docker", "timeout_multiplier": 1},
        "agent": agent,
    }
    installation.config.write_text(yaml.safe_dump({"runtime_info": {"input": inputs}}))


@pytest.mark.parametrize("scaffold", [name for name in BLUEPRINTS if name in SUPPORTED_SCAFFOLDS])
def test_a_task_whose_image_lacks_the_agent_is_solved_with_the_mounted_one(
    in_docker: Installation, model: ScriptedModel, scaffold: str
) -> None:
    code, built = in_docker.run("build-runtime", scaffold, timeout_s=600)
    assert code == 0, built
    manifest = RuntimeManifest.read(in_docker.root.env / "runtimes" / scaffold)
    assert manifest is not None
    assert f"{scaffold} {manifest.version}: built in" in built
    assert manifest.tree_sha256 in built

    configure(in_docker, model, name=scaffold, version=manifest.version)
    in_docker.run("setup", "--skip-environments")
    code, output = in_docker.run("start", "--tasks", TASK, timeout_s=600)
    assert code == 0, output
    (run,) = read_runs(in_docker.root).rows
    trials = load_trials(in_docker.root.job(run.job).trials)
    assert [(each.task_id, each.reward, each.note) for each in trials.trials] == [(TASK, 1.0, None)]
    assert trials.agent.version == manifest.version
    runtime = read_metadata(in_docker.root.path / run.archive).runtime
    assert runtime is not None
    assert (runtime.origin, runtime.version, runtime.tree_sha256) == ("built", manifest.version, manifest.tree_sha256)
    assert files_with(SECRET, in_docker.root.path) == []


def test_a_job_with_a_runtime_that_is_not_whole_is_refused_and_consumes_nothing(
    in_docker: Installation, model: ScriptedModel
) -> None:
    configure(in_docker, model, name="claude-code", runtime_host_path="nowhere")
    in_docker.run("setup", "--skip-environments")
    code, output = in_docker.run("start", "--tasks", TASK)
    assert code == EXIT_REFUSED, output
    assert "there is no such folder (runtime_info.input.agent.runtime_host_path" in output
    with open_ledger(in_docker.root) as ledger:
        assert ledger.check_balance().running == 0
        assert ledger.check_balance().done == 0
