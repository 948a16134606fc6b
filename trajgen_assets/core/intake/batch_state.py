"""What swegen leaves beside its tasks: the state of its batches and its logs. It is shown, and nothing rests on it."""

import json
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

BATCH_STATE = ".swegen-create-batch"
LOGS = Path("logs") / "swegen-create"
# A state has a line for each pull request; one that is larger is not read in a tick.
_MAX_SIZE_BYTES = 64 << 20
_VERIFIED, _FAILED, _FILTERED, _RUNNING = "success", "failed", "filtered", "pending"


@dataclass(frozen=True)
class BatchState:
    """All batches over one folder of tasks. A case that several batches have counts as the newest says.

    Attributes:
        n_verified, n_failed, n_filtered, n_running: cases by how they ended, or have not.
        n_other: cases in a state that nobody here knows.
        last_batch: name of the state that was written last, and `last_at` when.
        last_elapsed_s: how long it ran, as it says itself.
        log: the newest entry of swegen's logs; None if there are none where it writes them.
        problems: what is missing or malformed, in words.
    """

    n_verified: int = 0
    n_failed: int = 0
    n_filtered: int = 0
    n_running: int = 0
    n_other: int = 0
    last_batch: str | None = None
    last_at: datetime | None = None
    last_elapsed_s: float | None = None
    log: Path | None = None
    problems: tuple[str, ...] = ()


def read_batch_state(folder: Path) -> BatchState:
    """Read what swegen left of its work on the tasks in `folder`. What is wrong is in the result; nothing is raised.

    The states lie in `.swegen-create-batch/*.json` of the folder, the logs in `logs/swegen-create/` of the folder
    around it or the next one up.
    """
    problems: list[str] = []
    files = _by_age(folder / BATCH_STATE, "*.json", problems)
    if not files and not problems:
        problems.append(f"there is no {BATCH_STATE}/*.json")
    cases: dict[str, Any] = {}
    elapsed_s: float | None = None
    for path, _ in files:
        state = _state(path, problems)
        cases |= state["cases"] if state else {}
        elapsed_s = _number(state.get("total_elapsed_seconds")) if state else None
    counts = Counter(_status(case) for case in cases.values())
    last = files[-1] if files else None
    return BatchState(
        counts.pop(_VERIFIED, 0),
        counts.pop(_FAILED, 0),
        counts.pop(_FILTERED, 0),
        counts.pop(_RUNNING, 0),
        counts.total(),
        last[0].name if last else None,
        datetime.fromtimestamp(last[1], UTC) if last else None,
        elapsed_s,
        _newest_log(folder, problems),
        tuple(problems),
    )


def _by_age(folder: Path, pattern: str, problems: list[str]) -> list[tuple[Path, float]]:
    """Paths with the time of their last change, oldest first; one that is gone, or leads nowhere, is left out."""
    found = []
    try:
        for path in folder.glob(pattern):
            with suppress(FileNotFoundError):
                found.append((path, path.stat().st_mtime))
    except OSError as error:
        problems.append(f"{folder.name} cannot be read: {error.strerror}")
    return sorted(found, key=lambda each: (each[1], each[0]))


def _state(path: Path, problems: list[str]) -> dict[str, Any] | None:
    try:
        size = path.stat().st_size
        state = json.loads(path.read_bytes()) if path.is_file() and size <= _MAX_SIZE_BYTES else None
    except (OSError, ValueError, RecursionError) as error:
        problems.append(f"{path.name} cannot be read: {error}"[:300])
        return None
    if not isinstance(state, dict) or not isinstance(state.get("cases"), dict):
        problems.append(f"{path.name} is no state of a batch: it has no mapping of cases, or is too large")
        return None
    return state


def _status(case: Any) -> str:
    status = case.get("status") if isinstance(case, dict) else None
    return status if isinstance(status, str) else "unknown"


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _newest_log(folder: Path, problems: list[str]) -> Path | None:
    """swegen writes `artifacts/swe_tasks/<language>-cc/` and `artifacts/logs/swegen-create/`."""
    for around in folder.parents[:2]:
        if logs := _by_age(around / LOGS, "*", problems):
            return logs[-1][0]
    return None
