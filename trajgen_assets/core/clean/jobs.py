"""Removing the trials of jobs: paid for once, and gone for good. What they were accepted for stays in the ledger.

The ledger is told first, then the job's folder, then the files go, then the ledger is told that they have gone. So
whatever ends it in between, no task is taken for one without a result, and the next call finishes it.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from trajgen_assets.core import atomic
from trajgen_assets.core.clean.trees import Size, entries, remove, size_of, why_left
from trajgen_assets.core.clock import stamp
from trajgen_assets.core.errors import ConversionError, UnknownNameError
from trajgen_assets.core.faults import reached
from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.ledger.models import JobRow
from trajgen_assets.core.paths import Root
from trajgen_assets.core.rollout.trials import load_trials
from trajgen_assets.core.sft.data_sets.standing import data_sets_of
from trajgen_assets.core.sft.receipt import load_receipt
from trajgen_assets.core.sft.scaffolds import why_no_data


@dataclass(frozen=True)
class JobTrials:
    """What a job left that would go.

    Attributes:
        folders: of its trials, and the proxy's own copies of their trajectories.
        cost_usd: what its attempts are on record to have cost.
        n_accepted: attempts that are the result of a task.
        objections: why it takes `--force`.
        left: why it stays in any case.
        is_begun: a removal of it was begun before.
    """

    name: str
    folders: tuple[Path, ...]
    size: Size
    cost_usd: float
    n_accepted: int
    objections: tuple[str, ...] = ()
    left: str | None = None
    is_begun: bool = False


def find_job_trials(root: Root, ledger: Ledger, names: list[str]) -> list[JobTrials]:
    """What the jobs of these names left, or all that are over and have trials. Changes nothing.

    Raises:
        UnknownNameError: the ledger knows no job of that name.
    """
    rows = {row.name: row for row in ledger.jobs()}
    for name in names:
        if name not in rows:
            mend = "`trajgen status` shows their names; `trajgen ledger import` takes in one that only lies on disk"
            raise UnknownNameError("the ledger knows no job of that name", where=name, mend=mend)
    begun = {each.job for each in ledger.removals()}
    chosen = list(dict.fromkeys(names)) or [row.name for row in rows.values() if row.state.is_over]
    found = [_found(root, ledger, rows[name], is_begun=name in begun) for name in chosen]
    return [each for each in found if names or each.folders]


def unfinished(root: Root, ledger: Ledger) -> list[JobTrials]:
    """Jobs whose removal was cut short."""
    names = [each.job for each in ledger.removals() if each.finished_at is None]
    return find_job_trials(root, ledger, names) if names else []


def old_jobs(root: Root, ledger: Ledger, *, older_than: timedelta, keep_bytes: int | None) -> list[JobTrials]:
    """Jobs that ended so long ago, the oldest first; with `keep_bytes` only as many as bring all jobs down to that."""
    before, ended = datetime.now(UTC) - older_than, {row.name: row.finished_at for row in ledger.jobs()}
    found = find_job_trials(root, ledger, [])
    over = sum(each.size.size_bytes for each in found) - (keep_bytes or 0)
    chosen: list[JobTrials] = []
    for each in found:
        finished_at = ended[each.name]
        if finished_at is None or finished_at > before or (keep_bytes is not None and over <= 0):
            continue
        chosen.append(each)
        if each.left is None and not each.objections:
            over -= each.size.size_bytes
    return chosen


def remove_job_trials(root: Root, ledger: Ledger, job: JobTrials) -> None:
    """Remove the trials of a job. Safe to repeat after it was cut short anywhere.

    Raises:
        LedgerError: the job is not over.
    """
    ledger.begin_removal(job.name)
    reached("removal_begun")
    files = root.job(job.name)
    if files.dir.is_dir() and not files.removed.exists():
        atomic.write_json(files.removed, {"schema_version": 1, "job": job.name, "removed_at": stamp()})
    for folder in job.folders:
        remove(folder)
    ledger.finish_removal(job.name)


def _found(root: Root, ledger: Ledger, row: JobRow, *, is_begun: bool) -> JobTrials:
    files, attempts = root.job(row.name), [each for _, each in ledger.job_attempts(row.name)]
    left = None if row.state.is_over else f"it is {row.state.value}"
    if left is None and files.dir.exists():
        left = why_left(files.dir, root.path, ())
    inside = left is None
    proxy = [files.proxy / "trajectories"] if (files.proxy / "trajectories").is_dir() else []
    folders = [each for each in entries(files.dir) if each.is_dir() and not each.is_symlink()] + proxy if inside else []
    n_accepted = sum(each.accepted for each in attempts)
    return JobTrials(
        row.name,
        tuple(folders),
        sum(map(size_of, folders), Size()),
        sum(each.cost_usd or 0.0 for each in attempts),
        n_accepted,
        () if is_begun else tuple(_objections(root, row.name, n_accepted)),
        left,
        is_begun,
    )


def _objections(root: Root, name: str, n_accepted: int) -> list[str]:
    found = []
    receipt = load_receipt(root.job(name).sft)
    if n_accepted and not (receipt and receipt.is_whole) and not _is_never_data(root, name):
        found.append("no training data is made of it")
    found += [
        f"it is in the data set {each.data_set}"
        for each in data_sets_of(root)
        if name in {part.job for part in each.jobs}
    ]
    return found


def _is_never_data(root: Root, name: str) -> bool:
    try:
        return why_no_data(load_trials(root.job(name).trials)) is not None
    except ConversionError:
        return False
