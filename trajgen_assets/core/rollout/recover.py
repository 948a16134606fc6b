"""Jobs whose driver is gone: what they left running is ended, what they finished is settled, the rest is freed."""

import logging
import subprocess
import time
from dataclasses import dataclass, field

from trajgen_assets.core.errors import HarnessError, TrajgenError
from trajgen_assets.core.intake.task import inspect_task
from trajgen_assets.core.ledger.models import JobRow, JobState, Lease, RetryPolicy, TaskRow
from trajgen_assets.core.locks import locked_if_free
from trajgen_assets.core.paths import JobPaths, Root
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.redact import Redactor
from trajgen_assets.core.report.archive import RunMetadata, archived_after, file_left_open
from trajgen_assets.core.rollout.causes import Cause
from trajgen_assets.core.rollout.harnesses import harness_of_job
from trajgen_assets.core.rollout.lost import RECOVERY, lost_jobs
from trajgen_assets.core.rollout.memory import as_given
from trajgen_assets.core.rollout.reap import is_reaped, start_reaper
from trajgen_assets.core.rollout.record import JobRecord, Listener, StagedTask
from trajgen_assets.core.rollout.trials import load_trials

log = logging.getLogger(__name__)

RECOVERY_TTL_S = 600.0

# A tick of the sensor must answer within Dagster's 60 s; what is not settled by then is settled in the next.
TICK_BUDGET_S = 20.0
LOOK_EVERY_S = 0.1

NOTE = "the process that drove this job died, or stood still beyond its lease"


@dataclass
class Recovery:
    """Which jobs were settled, why others were not yet, and in which of them something still held the slot."""

    settled: list[str] = field(default_factory=list)
    unsettled: dict[str, str] = field(default_factory=dict)
    hung: set[str] = field(default_factory=set)
    archived: list[RunMetadata] = field(default_factory=list)
    _reapers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def words(self) -> list[str]:
        """One line for each job."""
        settled = [f"settled job {name}: its driver had died" for name in self.settled]
        archived = [f"archived job {run.job} as {run.id}, which its driver had not" for run in self.archived]
        return settled + [f"job {name} is not settled yet: {why}" for name, why in self.unsettled.items()] + archived

    def reap(self, root: Root, job: str) -> str | None:
        """Have what a job left running ended by a process of its own: it may take longer than a tick has.

        Returns:
            Why that is not done yet; None when it is.

        Raises:
            HarnessError: it cannot be done.
            BusyError: the reaper of an earlier tick is still at it.
        """
        if is_reaped(root, job):
            return None
        if job not in self._reapers:
            self._reapers[job] = start_reaper(root, job)
        if self._reapers[job].poll() not in (None, 0):
            log, mend = root.job(job).reap_log, f"see to it and run `trajgen reap --force {job}`"
            raise HarnessError("what the job left running cannot be ended", where=log, mend=mend)
        return "what it left running is being ended"


def recover_lost_jobs(platform: Platform, *, budget_s: float = TICK_BUDGET_S) -> Recovery:
    """Settle the jobs that the ledger holds for running while nothing drives them.

    Args:
        budget_s: about how long this may take. What is left over is taken up by the next call, where this one stopped.
    """
    recovery, deadline = Recovery(), time.monotonic() + budget_s
    with locked_if_free(platform.root.locks / "recovery") as lock_fd:  # whoever has it settles them all
        waiting = _lost_jobs(platform, recovery) if lock_fd is not None else []
        while waiting:
            waiting = [job for job in waiting if not _take_up(platform, job, recovery, deadline)]
            if time.monotonic() > deadline:
                break
            time.sleep(LOOK_EVERY_S if waiting else 0)
        if lock_fd is not None:
            recovery.archived = file_left_open(platform.root, platform.ledger, Redactor.of(platform.config))
    return recovery


def _lost_jobs(platform: Platform, recovery: Recovery) -> list[JobRow]:
    """Those that were taken up the least often come first, so that one that takes long does not hold up the others."""
    lost = list(lost_jobs(platform.root, platform.ledger))
    recovery.hung |= {job.row.name for job in lost if job.is_held}
    return sorted((job.row for job in lost), key=lambda row: row.fence)


def _take_up(platform: Platform, job: JobRow, recovery: Recovery, deadline: float) -> bool:
    """Bring one job forward. Returns whether there is nothing more to do about it in this call."""
    try:
        why = recovery.reap(platform.root, job.name) or _settle(platform, job, recovery, deadline)
    except Exception as error:  # noqa: BLE001  whatever is wrong with one job, the others must not wait for it
        recovery.unsettled[job.name] = Redactor.of(platform.config).error(error)
        log.error("job %s could not be settled: %s", job.name, recovery.unsettled[job.name])
        return True
    if why is not None:
        recovery.unsettled[job.name] = why
        return False
    recovery.unsettled.pop(job.name, None)
    recovery.settled.append(job.name)
    return True


def _settle(platform: Platform, job: JobRow, recovery: Recovery, deadline: float) -> str | None:
    """Settle what ended and free the rest; says so where time was up before."""
    lease = platform.ledger.seize(job, RECOVERY, ttl_s=RECOVERY_TTL_S)
    with archived_after(platform, job) as entry:
        entry.status, entry.notes = "failed", NOTE
        cancelled_as = Cause.STALLED if job.name in recovery.hung else Cause.CANCELLED
        record = _record(platform, job, lease, cancelled_as, entry.listener)
        try:
            if record is not None and not record.settle_rest(until=deadline):
                return "time was up; the next tick goes on"
        except TrajgenError as error:  # about one trial, which no later look would mend; the others are settled
            entry.notes = f"{NOTE}; {Redactor.of(platform.config).error(error)}"
        platform.ledger.release(lease, JobState.FAILED, note=entry.notes)
    return None


def _record(platform: Platform, job: JobRow, lease: Lease, cancelled_as: Cause, listener: Listener) -> JobRecord | None:
    """What is settled so far of a job that somebody else drove; None where it never came to a trial."""
    files = platform.root.job(job.name)
    if not files.trials.exists():
        return None
    harbor_job = platform.config.runtime_info.input.harbor_job
    found = load_trials(files.trials)
    return JobRecord(
        header=found.model_copy(update={"trials": ()}),
        files=files,
        ledger=platform.ledger,
        lease=lease,
        policy=RetryPolicy(harbor_job.max_retries, harbor_job.max_infra_retries),
        tasks={row.task_id: _as_staged(platform, row, files) for row in platform.ledger.tasks_of_job(job.name)},
        listener=listener,
        redactor=Redactor.of(platform.config),
        given=Redactor(platform.config.secret_values()),
        own_files=harness_of_job(platform.root, job.name).own_files(files),
        cancelled_as=cancelled_as,
        is_interrupted=True,
        entries={entry.trial_name: entry for entry in found.trials if entry.trial_name is not None},
    )


def _as_staged(platform: Platform, row: TaskRow, files: JobPaths) -> StagedTask:
    folder = platform.root.tasks / row.dataset / row.task_id
    sources = {source.dataset: source.folder for source in platform.config.sources()}
    if not folder.exists() and row.dataset in sources:  # tasks that are rolled out in place are staged nowhere
        folder = sources[row.dataset] / row.task_id
    return as_given(StagedTask(row.key, inspect_task(folder), row.digest or ""), files.task_copies)
