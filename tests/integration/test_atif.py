"""Trajectories in Harbor's form are what Harbor itself reads, by its own model of them."""

import json
import subprocess
from pathlib import Path

from tests.integration.harbor_runs import harbor_env
from tests.sites import RootSize, make_root
from tests.unit.sft.twin import JobOnDisk, solved
from trajgen_assets.core.dashboard.atif import write_atif
from trajgen_assets.core.ledger import create_ledger
from trajgen_assets.core.paths import Root
from trajgen_assets.core.redact import Redactor

READ = """
import sys
from harbor.models.trajectories.trajectory import Trajectory
for path in sys.argv[1:]:
    found = Trajectory.model_validate_json(open(path).read())
    print(len(found.steps), len(found.subagent_trajectories or []))
"""


def read_by_harbor(paths: list[Path]) -> list[tuple[int, int]]:
    """Steps and embedded trajectories of each, as Harbor reads them."""
    argv = [harbor_env() / "bin" / "python", "-c", READ, *paths]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [tuple(map(int, line.split())) for line in done.stdout.splitlines()]  # type: ignore[misc]


def test_every_trial_is_a_trajectory_that_harbor_reads(tmp_path: Path) -> None:
    root = make_root(tmp_path / "root", RootSize(n_trials=9, n_per_job=3, n_turns=3))
    report = write_atif(root, tmp_path / "atif", Redactor({}))
    paths = sorted((tmp_path / "atif").glob("*/*/agent/trajectory.json"))
    assert len(paths) == 9
    assert read_by_harbor(paths) == [(5, 0)] * 9  # system, user, and three answers with what came back
    assert all((path.parents[1] / "result.json").exists() for path in paths)
    assert report.n_written == 18
    assert not write_atif(root, tmp_path / "atif", Redactor({})).changed


def test_a_dialogue_that_was_handed_over_is_embedded_and_secrets_are_gone(tmp_path: Path) -> None:
    root = Root(tmp_path / "root")
    create_ledger(root)
    twin = solved("The word is swordfish-4711.").hand_off().ask("calc.py", "Go on.")
    JobOnDisk(root.path).add("t__1", twin).write()
    write_atif(root, tmp_path / "atif", Redactor({"WORD": "swordfish-4711"}))
    (path,) = (tmp_path / "atif").glob("*/*/agent/trajectory.json")
    ((_, n_embedded),) = read_by_harbor([path])
    assert n_embedded
    told = json.loads(path.read_text())
    assert "swordfish" not in path.read_text()
    assert any("<redacted:WORD>" in step.get("reasoning_content", "") for step in told["steps"])
    assert told["agent"] == {"name": "terminus-2", "version": "2.0.0", "model_name": "openai/served"}
