"""An open entry becomes one of the archive: whole under its number, or not there at all; the index comes last."""

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trajgen_assets.core.atomic import fsync_dir, write_bytes, write_text, write_yaml
from trajgen_assets.core.clock import stamp
from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.locks import locked
from trajgen_assets.core.paths import JobPaths, Root
from trajgen_assets.core.report.archive.facts import has_data, job_facts, trials_of
from trajgen_assets.core.report.archive.images import image_digests
from trajgen_assets.core.report.archive.index import METADATA, next_run_id, read_runs, write_index
from trajgen_assets.core.report.archive.models import RunMetadata, RunRow, Status
from trajgen_assets.core.report.archive.monitor import Install, monitor_text
from trajgen_assets.core.report.archive.opened import BEGUN, SESSION, OpenEntry

MONITOR = "monitor.md"
SCRIPTS = "scripts"

_LAST = (SESSION, METADATA, BEGUN)


@dataclass(frozen=True)
class Ending:
    """How a run ended.

    Attributes:
        outage: what refused it, by data set and beginning; runs that one outage refuses share one entry.
        facts: what only the run itself knew; the rest is read from the ledger and the job's files.
    """

    status: Status
    exit_code: int
    notes: str = ""
    outage: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)


def file_entry(
    root: Root, ledger: Ledger, opened: OpenEntry, ending: Ending, *, redact: Callable[[str], str]
) -> RunMetadata:
    """Complete the open entry, give it its number, and add it to the index.

    Two that end together get two numbers. An index that is broken or behind is mended on the way.

    Raises:
        OSError: something cannot be written. The entry is still open, unless only the index is behind.
        LedgerError: the ledger cannot be read.
    """
    job = opened.begun.job
    facts = job_facts(ledger, root.job(job), job) | ending.facts
    if "n_trials" in facts and opened.begun.image_names:
        facts["images"] = image_digests(opened.begun.image_names)  # now, since a trial may have pulled them
    trials = trials_of(root.job(job)) or ()
    with locked(root.archives / ".lock"):
        runs = read_runs(root)
        earlier = _same_outage(ending, runs.rows)
        run_id = earlier.id if earlier else next_run_id(root, runs.rows)
        run = _metadata(opened, ending, facts, run_id, earlier)
        account = monitor_text(Install(root, opened.begun.config), run, trials, has_data=has_data(root.job(job)))
        _complete(root, opened.path, run, redact(account))
        if earlier is None:
            opened.move_to(root.archives / run_id)
        else:
            _put_onto(root.archives / run_id, opened)
        write_index(root, runs, [*(row for row in runs.rows if row.id != run_id), run.row])
    return run


def is_filed(root: Root, opened: OpenEntry) -> bool:
    """Whether this run has an entry: whoever filed it was killed before the open one was gone."""
    begun = opened.begun
    return any(row.job == begun.job and row.completed_at >= begun.started_at for row in read_runs(root).rows)


def _same_outage(ending: Ending, rows: Sequence[RunRow]) -> RunRow | None:
    """The entry of the runs that the same outage refused before, if this one was refused by it, too."""
    if ending.outage is None or ending.status != "refused":
        return None
    return next((row for row in reversed(rows) if row.outage == ending.outage), None)


def _metadata(
    opened: OpenEntry, ending: Ending, facts: dict[str, Any], run_id: str, earlier: RunRow | None
) -> RunMetadata:
    begun = opened.begun
    origin = {name: getattr(begun.origin, name) for name in type(begun.origin).model_fields}
    outage = ending.outage if ending.status == "refused" else None
    known = origin | facts | {"outage": outage, "n_runs": _n_runs(earlier) if outage else None}
    return RunMetadata(
        **known,
        id=run_id,
        job=begun.job,
        status=ending.status,
        started_at=earlier.started_at if earlier else begun.started_at,
        completed_at=stamp(),
        archive=f"archives/{run_id}",
        notes=ending.notes,
        dagster_run_id=begun.owner,
        exit_code=ending.exit_code,
    )


def _n_runs(earlier: RunRow | None) -> int:
    return (earlier.n_runs or 1) + 1 if earlier else 1


def _complete(root: Root, folder: Path, run: RunMetadata, account: str) -> None:
    """Write what is known only at the end, and see that all of the folder is on disk."""
    _copy_scripts(root.job(run.job), folder / SCRIPTS)
    write_text(folder / MONITOR, account)
    write_yaml(folder / METADATA, run.as_dict())
    for path in folder.rglob("*"):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _copy_scripts(files: JobPaths, folder: Path) -> None:
    """Copy what was executed, as far as the run came. Configurations name secrets and hold none."""
    of_harbor = (files.harbor_script, files.harbor_config, files.compose_overlay)
    for path in (files.proxy_script, files.litellm_config, files.openhands_script, *of_harbor):
        if path.is_file():
            folder.mkdir(exist_ok=True)
            shutil.copy(path, folder / path.name)


def _put_onto(target: Path, opened: OpenEntry) -> None:
    """Replace what stands in an entry that several runs share; of the session log both are kept.

    What can fail comes first and may be repeated: the log is added whole or not at all, and the metadata, by which
    the run counts as archived, follows at once.
    """
    files = [path.relative_to(opened.path) for path in opened.path.rglob("*") if path.is_file()]
    for name in (each for each in files if each.name not in _LAST):
        (target / name).parent.mkdir(exist_ok=True)
        os.replace(opened.path / name, target / name)
        fsync_dir((target / name).parent)
    logs = (target / SESSION, opened.session)
    write_bytes(target / SESSION, b"".join(each.read_bytes() for each in logs if each.exists()))
    os.replace(opened.path / METADATA, target / METADATA)
    fsync_dir(target)
    opened.discard()
