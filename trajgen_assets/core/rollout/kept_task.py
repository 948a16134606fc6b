"""What a trial's folder keeps of its task, so that it says what it was about where no staged task is any more.

Whoever reads a job folder as Harbor left it finds the task by `task.path` of a trial's `config.json`, and there
`task.toml` with `[metadata]`: so does the sft block in its `harbor_job` mode. A path that is not absolute counts from
the trial's folder.
"""

import json
from pathlib import Path
from typing import Any

from trajgen_assets.core.atomic import write_bytes, write_json

KEPT_TASK = "task"


def keep_task(trial_dir: Path, task_dir: Path, task_id: str) -> None:
    """Copy `task.toml` of an ended trial's task to `task/<task id>/` and name that folder in `config.json`.

    Safe to repeat. A trial without a readable `config.json`, and one whose task is gone already, stay as they are.
    """
    config = _config_of(trial_dir)
    try:
        settings = (task_dir / "task.toml").read_bytes()
    except FileNotFoundError:
        return
    if config is None:
        return
    kept = Path(KEPT_TASK, task_id)
    write_bytes(trial_dir / kept / "task.toml", settings)  # before it is named: a path always leads somewhere
    write_json(trial_dir / "config.json", config | {"task": config["task"] | {"path": str(kept)}})


def _config_of(trial_dir: Path) -> dict[str, Any] | None:
    try:
        config = json.loads((trial_dir / "config.json").read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return config if isinstance(config, dict) and isinstance(config.get("task"), dict) else None
