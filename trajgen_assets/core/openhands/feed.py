"""The event feed of a job that this process drives itself, line by line as Harbor's guest writes it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trajgen_assets.core.clock import stamp
from trajgen_assets.core.openhands.trial import Trial


def tell(path: Path, event: str, trial: Trial, more: Mapping[str, Any] | None = None) -> None:
    """Append one event about a trial; a line is whole or, after a kill, passed over by its readers."""
    about = {"trial": trial.name, "task_name": trial.task_id, "task_path": str(trial.task_dir)}
    line = json.dumps({"event": event, "ts": stamp(), **about, **(more or {})}) + "\n"
    with path.open("ab") as feed:
        feed.write(line.encode())
