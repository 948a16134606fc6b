"""Where ledger and disk differ, what each difference means, and what mends it."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from trajgen_assets.core.capture.stored import content_sha256, stored
from trajgen_assets.core.errors import LedgerError, RequirementError
from trajgen_assets.core.ledger.comparing import RecordedResult, recorded_results, recorded_trials
from trajgen_assets.core.ledger.importing import import_found
from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.ledger.models import JobState
from trajgen_assets.core.ledger.view import is_edited
from trajgen_assets.core.paths import Root
from trajgen_assets.core.process import recorded_processes
from trajgen_assets.core.report.found_jobs import FoundJobs, Resolve, find_jobs
from trajgen_assets.core.rollout.docker import jobs_with_leftovers
from trajgen_assets.core.rollout.harnesses import environment_of
from trajgen_assets.core.rollout.lost import lost_jobs
from trajgen_assets.core.rollout.plan import uses_docker
from trajgen_assets.core.rollout.slots import live_holders

FIX = "`trajgen ledger check --fix`"


class Kind(StrEnum):
    """What differs. The order is that of mending: a lost job is settled before anything is concluded from its files."""

    BALANCE = "balance"
    LOST_JOB = "lost job"
    LEFTOVERS = "leftovers"
    UNKNOWN_TRIAL = "unknown trial"
    UNREADABLE = "unreadable"
    HALF_REMOVED = "half-removed job"
    MISSING_TRAJECTORY = "missing trajectory"
    CHANGED_TRAJECTORY = "changed trajectory"
    EDITED_VIEW = "edited view"
    NO_INSTANCE = "no instance"
    NO_PARTITION = "no partition"
    NO_EVENT = "no event"
    UNFOUNDED_EVENT = "unfounded event"
    NO_DATA = "no data"


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference. `subject` is the task, job or file; `is_fixable` means that `--fix` mends it without guessing."""

    kind: Kind
    subject: str
    means: str
    mend: str
    is_fixable: bool = False


def differences_on_disk(root: Root, ledger: Ledger, resolve: Resolve, *, digests: bool = True) -> Iterator[Difference]:
    """Hold the ledger against itself and against what lies under `root`. Changes nothing.

    Args:
        resolve: which task a trial of the earlier system is of.
        digests: also read every trajectory and compare its digest, which takes as long as reading them all.
    """
    try:
        ledger.check_balance()
    except LedgerError as error:
        yield Difference(Kind.BALANCE, error.where or "", error.why or error.what, error.mend or "")
    yield from _lost_jobs(root, ledger)
    yield from _leftovers(root, ledger)
    yield from _trials(root, ledger, resolve)
    removals = ledger.removals()
    for each in removals:
        if each.finished_at is None:
            means = "the removal of its trajectories was cut short; the ledger counts them as removed"
            yield Difference(Kind.HALF_REMOVED, each.job, means, f"`trajgen clean --jobs {each.job}` finishes it")
    removed = {f"{root.jobs.name}/{each.job}/" for each in removals}
    for result in recorded_results(ledger):
        if result.trajectory_path.startswith(tuple(removed)):
            continue
        yield from _trajectory(root, result, digests=digests)
    if is_edited(root.ledger_view):
        means = "somebody changed it; it is left as it is, and not kept up to date"
        mend = "`trajgen ledger import` takes the changes over; or move it away"
        yield Difference(Kind.EDITED_VIEW, str(root.ledger_view), means, mend)


def unknown_trials(root: Root, ledger: Ledger, resolve: Resolve) -> FoundJobs:
    """Trials on disk that no attempt in the ledger is about."""
    return find_jobs(root, resolve, recorded=recorded_trials(ledger))


def _trials(root: Root, ledger: Ledger, resolve: Resolve) -> Iterator[Difference]:
    found = unknown_trials(root, ledger, resolve)
    result = import_found(ledger, [], found.jobs, dry_run=True)
    statuses = {row.key: row.status.value for row in result.changed}
    tasks = {f"{job.name}/{trial.outcome.trial_name}": trial for job in found.jobs for trial in job.trials}
    for name in result.new_trials:
        key = tasks[name].key
        means = f"this trial of {key.partition} is on disk and not in the ledger; its task would be {statuses[key]}"
        yield Difference(Kind.UNKNOWN_TRIAL, name, means, f"{FIX}, or `trajgen ledger import`", is_fixable=True)
    for name, reason in found.unreadable.items():
        yield Difference(Kind.UNREADABLE, name, reason, "put it back from a backup, or move it out of jobs/")


def _lost_jobs(root: Root, ledger: Ledger) -> Iterator[Difference]:
    for job in lost_jobs(root, ledger):
        means = f"the ledger has it running, and nothing drives it; tasks that it was given: {job.row.n_tasks}"
        mend = f"{FIX}, the next tick of the sensor, or `trajgen start`"
        yield Difference(Kind.LOST_JOB, job.row.name, means, mend, is_fixable=True)


def _leftovers(root: Root, ledger: Ledger) -> Iterator[Difference]:
    """What jobs that are over left running. Of one that the ledger has running it is ended when the job is settled."""
    busy = live_holders(root.locks) | {job.name for job in ledger.jobs(JobState.RUNNING)}
    names = {path.name for folder in (root.litellm, root.sandboxes) for path in _folders(folder)} - busy
    try:
        in_docker = jobs_with_leftovers() if any(uses_docker(environment_of(root, name)) for name in names) else set()
    except RequirementError as error:
        in_docker = set()
        yield Difference(Kind.LEFTOVERS, "Docker", str(error), "start the engine, and check again")
    for name in sorted(names):
        left = list(_left_by(root, name)) + ["containers or networks"] * (name in in_docker)
        if left:
            means = f"the job is over and left {', '.join(left)}"
            yield Difference(Kind.LEFTOVERS, name, means, f"{FIX}, or `trajgen reap {name}`", is_fixable=True)


def _left_by(root: Root, job: str) -> Iterator[str]:
    alive = [name for name, each in recorded_processes(root.job(job).processes).items() if each.find() is not None]
    if alive:
        yield f"processes running ({', '.join(alive)})"
    if any(_folders(root.sandboxes / job)):
        yield "sandboxes"


def _folders(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from (path for path in folder.iterdir() if path.is_dir())


def _trajectory(root: Root, result: RecordedResult, *, digests: bool) -> Iterator[Difference]:
    path = root.path / result.trajectory_path
    again = f"roll it out again by `trajgen ledger reset --force {result.key.partition}`"
    if stored(path) is None:
        means = f"it is done, and its trajectory is not on disk: {result.trajectory_path}"
        yield Difference(
            Kind.MISSING_TRAJECTORY, result.key.partition, means, f"put the file back from a backup, or {again}"
        )
    elif digests and result.trajectory_sha256 not in (None, content_sha256(path)):
        means = f"its trajectory is not the one that was recorded: {result.trajectory_path}"
        yield Difference(
            Kind.CHANGED_TRAJECTORY, result.key.partition, means, f"put the file back from a backup, or {again}"
        )
