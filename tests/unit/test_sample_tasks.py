"""The tasks that come with the project: what the manifest says about them, and that they are genuine."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from trajgen_assets.core.keys import is_safe_name
from trajgen_assets.core.paths import PROJECT
from trajgen_assets.core.scripted import Script, load_scripts
from trajgen_assets.core.scripted.script import find_script

TASKS = PROJECT / "examples" / "swe_tasks" / "py-cc"
LISTED = (TASKS / "verifiable_tasks.txt").read_text().split()
FILES = (
    "instruction.md", "task.toml", "environment/Dockerfile", "environment/bug.patch",
    "solution/fix.patch", "solution/solve.sh", "tests/test.sh",
)  # fmt: skip
MISSING, INCOMPLETE, UNLISTED = "northgate__framecodec-402", "lumenfield__ignorepath-73", "ostrava-labs__dagweave-19"
SOUND = [task_id for task_id in LISTED if all((TASKS / task_id / name).is_file() for name in FILES)]
SCRIPTS = {script.task_id: script for script in load_scripts()}


def run(*argv: str | Path, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run `argv` with the interpreter of these tests as python3, and outside any git repository."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    settings = {"PATH": path, "PYTHONDONTWRITEBYTECODE": "1", "GIT_CEILING_DIRECTORIES": str(cwd.parent), **env}
    return subprocess.run(argv, cwd=cwd, env=settings, capture_output=True, text=True, timeout=60, check=False)


def apply(patch: Path, app: Path) -> None:
    result = run("git", "apply", patch, cwd=app)
    assert result.returncode == 0, result.stderr


def passes(app: Path, task_id: str) -> bool:
    tests = TASKS / task_id / "tests"
    return run("python3", "-m", "unittest", "discover", "-s", tests, cwd=app, PYTHONPATH=str(app)).returncode == 0


def broken_app(task_id: str, tmp_path: Path) -> Path:
    """The source as the agent finds it."""
    app = tmp_path / "app"
    shutil.copytree(TASKS / task_id / "environment" / "src", app)
    apply(TASKS / task_id / "environment" / "bug.patch", app)
    return app


def test_the_manifest_lists_four_sound_tasks_a_missing_and_an_incomplete_one() -> None:
    assert len(SOUND) == 4
    assert set(LISTED) == {*SOUND, MISSING, INCOMPLETE}
    assert not (TASKS / MISSING).exists()
    assert not (TASKS / INCOMPLETE / "tests" / "test.sh").exists()
    assert all(is_safe_name(task_id) for task_id in LISTED)


def test_one_sound_task_is_not_listed() -> None:
    assert UNLISTED not in LISTED
    assert all((TASKS / UNLISTED / name).is_file() for name in FILES)


def test_one_task_name_is_longer_than_harbor_keeps_it() -> None:
    assert max(len(task_id) for task_id in SOUND) > 32


@pytest.mark.parametrize("task_id", [*SOUND, UNLISTED])
def test_the_solution_brings_the_reward_and_doing_nothing_does_not(task_id: str, tmp_path: Path) -> None:
    app = broken_app(task_id, tmp_path)
    assert not passes(app, task_id)
    apply(TASKS / task_id / "solution" / "fix.patch", app)
    assert passes(app, task_id)


@pytest.mark.parametrize("task_id", [*SOUND, UNLISTED, INCOMPLETE])
def test_the_tests_that_the_agent_sees_pass_before_it_begins(task_id: str, tmp_path: Path) -> None:
    app = broken_app(task_id, tmp_path)
    assert run("python3", "-m", "unittest", "discover", "-s", "tests", "-t", ".", cwd=app).returncode == 0


@pytest.mark.parametrize("task_id", [*SOUND, UNLISTED, INCOMPLETE])
def test_settings_are_complete(task_id: str) -> None:
    settings = tomllib.loads((TASKS / task_id / "task.toml").read_text())
    assert settings["version"] == "1.0"
    assert set(settings["metadata"]) >= {"author_name", "difficulty", "category", "language", "tags"}
    assert set(settings["environment"]) >= {"build_timeout_sec", "cpus", "memory_mb", "storage_mb"}
    assert set(settings["scoring"]) == {"difficulty_score", "difficulty_label"}
    assert settings["verifier"]["timeout_sec"] > 0
    assert settings["agent"]["timeout_sec"] > 0


@pytest.mark.parametrize("task_id", SOUND)
def test_every_script_can_be_run_by_harbor(task_id: str) -> None:
    for name in ("solution/solve.sh", "tests/test.sh"):
        path = TASKS / task_id / name
        assert path.read_text().startswith("#!/bin/bash\n")
        assert os.access(path, os.X_OK)


@pytest.mark.parametrize("task_id", SOUND)
def test_the_instruction_finds_the_script_of_its_task(task_id: str) -> None:
    instruction = (TASKS / task_id / "instruction.md").read_text()
    assert find_script(load_scripts(), f"Task Description:\n{instruction}\n") == SCRIPTS[task_id]


def test_three_of_the_four_scripts_solve_their_task() -> None:
    assert sorted(SCRIPTS[task_id].solves for task_id in SOUND) == [False, True, True, True]


@pytest.mark.parametrize("task_id", SOUND)
def test_a_script_earns_the_reward_that_it_says(task_id: str, tmp_path: Path) -> None:
    app = broken_app(task_id, tmp_path)
    play(SCRIPTS[task_id], app, tmp_path)
    assert run("python3", "-m", "unittest", "discover", "-s", "tests", "-t", ".", cwd=app).returncode == 0
    assert passes(app, task_id) is SCRIPTS[task_id].solves


def play(script: Script, app: Path, scratch: Path) -> None:
    """Run the commands of a script in one shell, the folders of the sandbox moved into those of the test."""
    commands = "\n".join(command.run for turn in script.turns for command in turn.commands)
    run("bash", "-c", commands.replace("/tmp/", f"{scratch}/").replace("/app", str(app)), cwd=app)


def test_the_batch_state_knows_every_listed_task() -> None:
    (state_file,) = (TASKS / ".swegen-create-batch").glob("*.json")
    state = json.loads(state_file.read_text())
    cases = state["cases"].values()
    assert state["total_elapsed_seconds"] > 0
    assert {case["task_id"] for case in cases if case["status"] == "success"} == set(LISTED)
    assert {case["status"] for case in cases} == {"success", "failed", "filtered", "pending"}
