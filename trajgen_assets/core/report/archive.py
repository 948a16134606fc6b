"""The run archive: one numbered folder and one index entry for every run, however it ended."""

import fcntl
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from trajgen_assets.core.atomic import write_yaml
from trajgen_assets.core.clock import stamp
from trajgen_assets.core.errors import TrajgenError
from trajgen_assets.core.paths import Root

SCHEMA_VERSION = 1
Status = Literal["completed", "failed", "interrupted", "refused"]

_RUN_ID = re.compile(r"run_(\d{3,})")


@dataclass
class ArchiveEntry:
    """What is known of a run while it runs. The status is `failed` until someone can say better.

    Attributes:
        job: the job's name.
        owner: id of the Dagster run, or of whatever else drove the job.
        is_kept: whether there is anything to archive; a run that found its job taken is no history of the job.
        outage: what refused the run, by data set and beginning; runs that one outage refuses share one entry.
        facts: everything else worth keeping: counts, cost, digests.
    """

    job: str
    owner: str
    started_at: str
    status: Status = "failed"
    exit_code: int = 1
    notes: str = ""
    is_kept: bool = True
    outage: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)


@contextmanager
def archived(root: Root, *, job: str, owner: str, config: Mapping[str, Any]) -> Iterator[ArchiveEntry]:
    """Archive the run that happens in this block, also when it is refused, interrupted or killed by an exception.

    Args:
        root: where `archives/` and `index.yaml` lie.
        job: the job's name.
        owner: who drives it.
        config: the configuration without its secrets.
    """
    entry = ArchiveEntry(job=job, owner=owner, started_at=stamp())
    try:
        yield entry
    except TrajgenError as error:
        entry.notes = entry.notes or error.what
        raise
    except BaseException as error:
        entry.status = "interrupted" if not isinstance(error, Exception) else "failed"
        entry.exit_code = 130 if entry.status == "interrupted" else 1
        entry.notes = entry.notes or type(error).__name__
        raise
    finally:
        if entry.is_kept:
            _file(root, entry, config)


def _file(root: Root, entry: ArchiveEntry, config: Mapping[str, Any]) -> None:
    root.archives.mkdir(parents=True, exist_ok=True)
    with (root.archives / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two jobs that end together get two numbers
        index = _read_index(root.index)
        earlier = _same_outage(entry, index)
        row = _row(entry, earlier) | {"id": earlier["id"] if earlier else _next_run_id(root.archives, index)}
        row["archive"] = f"archives/{row['id']}"
        folder = root.archives / row["id"]
        write_yaml(folder / "config.yaml", dict(config))
        write_yaml(folder / "metadata.yaml", {**_metadata(entry), **row})  # folder first, index second
        others = [each for each in index if each["id"] != row["id"]]
        write_yaml(root.index, {"schema_version": SCHEMA_VERSION, "runs": [*others, row]})


def _same_outage(entry: ArchiveEntry, index: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The entry of the runs that the same outage refused before, if this one was refused by it, too."""
    if entry.outage is None or entry.status != "refused":
        return None
    return next((row for row in reversed(index) if row.get("outage") == entry.outage), None)


def _row(entry: ArchiveEntry, earlier: dict[str, Any] | None) -> dict[str, Any]:
    row = {
        "id": None,
        "job": entry.job,
        "status": entry.status,
        "started_at": earlier["started_at"] if earlier else entry.started_at,
        "completed_at": stamp(),
        "archive": None,
        "notes": entry.notes,
    }
    if entry.outage is None or entry.status != "refused":
        return row
    return row | {"outage": entry.outage, "n_runs": earlier["n_runs"] + 1 if earlier else 1}


def _metadata(entry: ArchiveEntry) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "block": "trajgen",
        "dagster_run_id": entry.owner,
        "exit_code": entry.exit_code,
        **entry.facts,
    }


def _read_index(path: Path) -> list[dict[str, Any]]:
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    if not isinstance(raw, dict) or not isinstance(raw.get("runs"), list):
        raise TrajgenError(
            "the run index cannot be read",
            where=path,
            why="it has no list `runs`",
            mend="move it away; the folders under archives/ hold every entry's metadata.yaml",
        )
    runs: list[dict[str, Any]] = raw["runs"]
    return runs


def _next_run_id(archives: Path, index: list[dict[str, Any]]) -> str:
    names = [child.name for child in archives.iterdir()] + [str(row.get("id")) for row in index]
    numbers = [int(match.group(1)) for name in names if (match := _RUN_ID.fullmatch(name))]
    return f"run_{max(numbers, default=0) + 1:03d}"
