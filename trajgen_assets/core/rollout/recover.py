"""Jobs whose driver is gone: what they left running is ended, what they finished is settled, the rest is freed."""

import logging

from trajgen_assets.core.config.config import redacted
from trajgen_assets.core.errors import StaleLeaseError
from trajgen_assets.core.intake.task import inspect_task
from trajgen_assets.core.ledger.models import JobRow, JobState, RetryPolicy, TaskRow
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.process import recorded_processes, stop_recorded
from trajgen_assets.core.report.archive import archived
from trajgen_assets.core.rollout.record import JobRecord, SilentListener, StagedTask
from trajgen_assets.core.rollout.sandboxes import remove_sandboxes
from trajgen_assets.core.rollout.slots import live_holders
from trajgen_assets.core.rollout.trials import load_trials

log = logging.getLogger(__name__)

RECOVERY_TTL_S = 600.0
STOP_GRACE_S = 30.0


def recover_lost_jobs(platform: Platform) -> list[str]:
    """Settle every job that the ledger holds for running while nothing runs it. Returns their names.

    A job that runs holds a job slot, and so do its Harbor and its proxy; when none of them holds it any more,
    they are all gone, whatever killed them.
    """
    alive = live_holders(platform.root.locks)
    lost = [job for job in platform.ledger.jobs(JobState.RUNNING) if job.name not in alive]
    for job in lost:
        _recover(platform, job)
    return [job.name for job in lost]


def _recover(platform: Platform, job: JobRow) -> None:
    log.warning("job %s has lost its driver: settling what it left", job.name)
    stop_recorded(recorded_processes(platform.root.job(job.name).processes).values(), grace_s=STOP_GRACE_S)
    try:
        lease = platform.ledger.seize(job, "recovery", ttl_s=RECOVERY_TTL_S)
    except StaleLeaseError:  # somebody else settles it at this moment
        return
    files, owner = platform.root.job(job.name), job.owner or "unknown"
    with archived(platform.root, job=job.name, owner=owner, config=redacted(platform.config)) as entry:
        entry.status, entry.notes = "failed", "the process that drove this job died"
        try:
            if files.trials.exists():
                harbor_job = platform.config.runtime_info.input.harbor_job
                header = load_trials(files.trials)
                policy = RetryPolicy(harbor_job.max_retries, harbor_job.max_infra_retries)
                tasks = {row.task_id: _as_staged(platform, row) for row in platform.ledger.tasks_of_job(job.name)}
                record = JobRecord(header, files, platform.ledger, lease, policy, tasks, SilentListener())
                record.settle_rest()
                entry.facts["n_trials"] = len(record.entries)
        finally:
            platform.ledger.release(lease, JobState.FAILED, note=entry.notes)
    remove_sandboxes(platform.root.sandboxes / job.name)


def _as_staged(platform: Platform, row: TaskRow) -> StagedTask:
    folder = inspect_task(platform.root.tasks / row.dataset / row.task_id)
    return StagedTask(row.key, folder, row.digest or "")
