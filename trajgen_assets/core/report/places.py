"""Where the trial lies that says the most about a task: the one that counts, else the one that runs, else the last."""

from dataclasses import dataclass
from pathlib import Path

from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.ledger.models import TaskRow, TaskStatus
from trajgen_assets.core.paths import JobPaths, Root
from trajgen_assets.core.rollout.results import task_id_of


@dataclass(frozen=True)
class TrialPlace:
    """One trial of a task. `is_over` once it stands in the ledger."""

    job: str
    trial: str
    files: JobPaths
    is_over: bool

    @property
    def folder(self) -> Path:
        return self.files.trial(self.trial)


def trial_of(root: Root, ledger: Ledger, row: TaskRow) -> TrialPlace | None:
    """The accepted trial of a task, else the one that runs, else the last; None if it never had one."""
    attempts = ledger.attempts(row.key)
    accepted = [each for each in attempts if each.accepted]
    running = running_trial(root, ledger, row) if not accepted else None
    if running is not None:
        return running
    chosen = (accepted or attempts)[-1:]
    return next((TrialPlace(each.job, each.trial_name, root.job(each.job), is_over=True) for each in chosen), None)


def running_trial(root: Root, ledger: Ledger, row: TaskRow) -> TrialPlace | None:
    """The trial that has begun in the job which holds the task, and is not settled yet."""
    if row.status is not TaskStatus.RUNNING or row.job is None:
        return None
    files = root.job(row.job)
    settled = {attempt.trial_name for _, attempt in ledger.job_attempts(row.job)}
    for config in sorted(files.dir.glob("*/config.json")):
        if config.parent.name not in settled and task_id_of(config.parent) == row.task_id:
            return TrialPlace(row.job, config.parent.name, files, is_over=False)
    return None
