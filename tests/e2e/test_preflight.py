"""The preflight with a canary, as a user calls it."""

import json
import shutil
from pathlib import Path

import pytest

from tests.e2e.conftest import SOLVED, TASKS, Installation
from tests.unit.preflight.twins import tree_digest
from trajgen_assets.core.scripted import ScriptedModel

pytestmark = pytest.mark.e2e

EXIT_FAILED = 1


def test_a_canary_tells_a_sound_task_from_one_whose_solution_fails_and_leaves_no_trace(
    installation: Installation, model: ScriptedModel, tmp_path: Path
) -> None:
    sound, broken = SOLVED[:2]
    source = tmp_path / "py-cc"
    for task_id in (sound, broken):
        shutil.copytree(TASKS / task_id, source / task_id)
    (source / broken / "solution" / "solve.sh").write_text("#!/bin/sh\nexit 0\n")
    (source / "verifiable_tasks.txt").write_text(f"{sound}\n{broken}\n")
    installation.config.write_text(installation.config.read_text().replace(str(TASKS), str(source)))
    assert installation.run("setup", "--skip-environments")[0] == 0
    before, n_before = tree_digest(tmp_path), model.n_requests()

    code, output = installation.run("dryrun", "--canary", "2", "--json")
    assert code == EXIT_FAILED, output
    found = json.loads(output[output.index("{") :])
    failed = [line["text"] for line in found["checks"] if line["level"] == "fail"]
    assert failed == [f"{broken}: oracle earned 0 and not 1"]
    assert f"{sound}: nop 0, oracle 1" in [line["text"] for line in found["checks"]]
    assert model.n_requests() == n_before + 1  # the completion; the canary needs none
    assert tree_digest(tmp_path) == before
