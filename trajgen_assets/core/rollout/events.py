"""The event feed of a job: what happens to its trials, as its harness says it, one JSON line each.

Of each trial it has `trial_started` and `trial_ended`, the latter when the trial's `result.json` is on disk; whoever
shows or keeps a job reads the same file.
"""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trajgen_assets.core.growing import GrowingFile

log = logging.getLogger(__name__)

STARTED = "trial_started"
WAITS = "trial_waits"
TRIAL_ENDS = ("trial_ended", "trial_cancelled")


@dataclass(frozen=True)
class TrialEvent:
    """One line of the event feed: what happened to which trial."""

    event: str
    trial: str
    task_dir: Path | None


class EventFeed:
    """Reads the feed as it grows."""

    def __init__(self, path: Path) -> None:
        self._file = GrowingFile(path)

    def read(self) -> list[TrialEvent]:
        """The events since the last call, in order."""
        return [event for line in self._file.read().splitlines() if (event := _parse_event(line)) is not None]


def _parse_event(line: bytes) -> TrialEvent | None:
    try:
        raw: dict[str, Any] = json.loads(line)
        task_path = raw.get("task_path")
        return TrialEvent(str(raw["event"]), str(raw.get("trial") or ""), Path(task_path) if task_path else None)
    except (ValueError, KeyError, TypeError, AttributeError):
        log.warning("event feed: unreadable line of %d bytes", len(line))
        return None
