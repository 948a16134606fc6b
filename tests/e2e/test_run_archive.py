"""What a real run leaves in the archive: whole, readable, without a secret, and the commands as scripts."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.e2e.conftest import Installation
from tests.e2e.regrading import patch_records, regraded
from trajgen_assets.core.paths import Root
from trajgen_assets.core.report.archive import read_metadata, read_runs
from trajgen_assets.core.rollout.trials import load_trials

pytestmark = pytest.mark.e2e


def test_a_finished_run_is_told_from_its_inputs_to_its_last_trial(finished_demo: Root) -> None:
    (row,) = read_runs(finished_demo).rows
    folder = finished_demo.path / row.archive
    run = read_metadata(folder)
    assert (run.status, run.exit_code, run.n_tasks, run.n_accepted, run.n_resolved) == ("completed", 0, 4, 4, 3)
    assert sorted(run.environments) == ["harbor", "litellm"]
    assert run.upstream is not None
    assert run.upstream.served_model == "scripted"
    session = (folder / "session.log").read_text()
    steps = ["staging 4 tasks", "starting the LiteLLM proxy", "rolling out 4 tasks", " started", " ended: reward"]
    assert [session.index(step) for step in steps] == sorted(session.index(step) for step in steps)
    assert session.count(" ended: reward") == 4
    assert "- valid results: 4, of these solved: 3" in (folder / "monitor.md").read_text()


def test_a_fresh_copy_of_each_task_earns_its_reward_with_the_final_patch(finished_demo: Root, tmp_path: Path) -> None:
    (row,) = read_runs(finished_demo).rows
    files = finished_demo.job(str(row.job))
    assert {record and (record.status, record.workdir) for record in patch_records(files).values()} == {("ok", "/app")}
    rewards = {entry.task_id: entry.reward for entry in load_trials(files.trials).trials}
    assert set(rewards.values()) == {0.0, 1.0}
    assert regraded(files, tmp_path) == rewards
    assert not files.patches.exists()


def test_the_commands_of_a_run_are_scripts_that_ask_for_the_secrets(finished_demo: Root) -> None:
    (row,) = read_runs(finished_demo).rows
    scripts = finished_demo.path / row.archive / "scripts"
    for name, secret in (("proxy.sh", "TRAJGEN_MASTER_KEY"), ("harbor.sh", "TRAJGEN_TRIAL_SUBKEY")):
        done = subprocess.run(["bash", scripts / name], capture_output=True, text=True, env={}, check=False)
        assert done.returncode != 0
        assert f"{secret}: its value is not kept: set it" in done.stderr
    assert yaml.safe_load((scripts / "harbor_job.yaml").read_text())["job_name"] == row.job
    assert "os.environ/TRAJGEN_UPSTREAM_API_KEY" in (scripts / "litellm_config.yaml").read_text()


def test_status_says_on_screen_what_status_yaml_says_but_for_the_daemon_that_wrote_it(finished_demo: Root) -> None:
    code, output = Installation(finished_demo).run("status", "--json")
    assert code == 0, output
    said, written = json.loads(output), yaml.safe_load(finished_demo.status.read_text())
    del said["last_updated"], written["last_updated"]
    (silent,) = said.pop("blockers")  # the demo's daemon has ended since, and automation is on in its configuration
    assert "no daemon runs" in silent["what"]
    assert written.pop("blockers") == []
    assert said == written
    assert said["phase"] == "idle"
