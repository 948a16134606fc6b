"""A bundled task graded anew: a fresh copy of it, the final patch of a trial, and the task's own tests."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.e2e.conftest import TASKS
from trajgen_assets.core.paths import JobPaths
from trajgen_assets.core.rollout.patch import PatchRecord, read_patch_record
from trajgen_assets.core.rollout.trials import load_trials


def patch_records(files: JobPaths) -> dict[str, PatchRecord | None]:
    """What is on record of each trial's patch, by task id."""
    return {
        entry.task_id: read_patch_record(files, entry.trial_name or "") for entry in load_trials(files.trials).trials
    }


def regraded(files: JobPaths, work: Path) -> dict[str, float]:
    """The reward that the patch of each trial earns, by task id."""
    rewards = {}
    for entry in load_trials(files.trials).trials:
        fresh = _fresh_copy(TASKS / entry.task_id / "environment", work / entry.task_id)
        _apply(files.trial(entry.trial_name or "") / "artifacts" / "predict_patch.diff", fresh)
        rewards[entry.task_id] = _reward(TASKS / entry.task_id / "tests", fresh)
    return rewards


def _fresh_copy(environment: Path, folder: Path) -> Path:
    """What the Dockerfile of a bundled task makes of its `/app`."""
    shutil.copytree(environment / "src", folder)
    _apply(environment / "bug.patch", folder)
    return folder


def _apply(patch: Path, folder: Path) -> None:
    env = {"PATH": os.environ["PATH"], "GIT_DIR": "/nonexistent"}
    subprocess.run(["git", "apply", patch], cwd=folder, env=env, check=True)


def _reward(tests: Path, folder: Path) -> float:
    """As each bundled task's test.sh has it."""
    argv = [sys.executable, "-m", "unittest", "discover", "-s", tests]
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    return float(subprocess.run(argv, cwd=folder, env=env, capture_output=True, check=False).returncode == 0)
