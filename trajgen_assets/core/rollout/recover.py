"""Jobs whose driver is gone: what they left running is ended, what they finished is settled, the rest is freed."""

import logging

from trajgen_assets.core.config.config import redacted
from trajgen_assets.core.errors import StaleLeaseError, TrajgenError
from trajgen_assets.core.intake.task import inspect_task
from trajgen_assets.core.ledger.models import JobRow, JobState, RetryPolicy, TaskRow
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.report.archive import archived
from trajgen_assets.core.rollout.reap import environment_of, reap
from trajgen_assets.core.rollout.record import JobRecord, SilentListener, StagedTask
from trajgen_assets.core.rollout.slots import live_holders
from trajgen_assets.core.rollout.trials import load_trials

log = logging.getLogger(__name__)

RECOVERY_TTL_S = 600.0


def recover_lost_jobs(platform: Platform) -> list[str]:
    """Settle every job that the ledger holds for running while nothing runs it. Returns their names.

    A job that runs holds a job slot, and so do its Harbor and its proxy; when none of them holds it any more,
    they are all gone, whatever killed them.
    """
    running = platform.ledger.jobs(JobState.RUNNING)
    alive = live_holders(platform.root.locks)  # asked after the jobs: one that was claimed in between is not lost
    recovered = []
    for job in (job for job in running if job.name not in alive):
        try:
            _recover(platform, job)
        except TrajgenError as error:  # looked at again at the next tick; the other jobs must not wait for it
            log.error("job %s could not be settled: %s", job.name, error)
        else:
            recovered.append(job.name)
    return recovered


def _recover(platform: Platform, job: JobRow) -> None:
    log.warning("job %s has lost its driver: settling what it left", job.name)
    reap(platform.root, job.name, environment=environment_of(platform.root, job.name))
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
                record = JobRecord(
                    header, files, platform.ledger, lease, policy, tasks, SilentListener(), is_interrupted=True
                )
                record.settle_rest()
                entry.facts["n_trials"] = len(record.entries)
        finally:
            platform.ledger.release(lease, JobState.FAILED, note=entry.notes)


def _as_staged(platform: Platform, row: TaskRow) -> StagedTask:
    folder = platform.root.tasks / row.dataset / row.task_id
    if not folder.exists():  # tasks that are rolled out in place are staged nowhere
        folder = platform.config.source(row.dataset).folder / row.task_id
    return StagedTask(row.key, inspect_task(folder), row.digest or "")
