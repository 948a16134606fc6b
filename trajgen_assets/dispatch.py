"""Which runs to ask Dagster for now: of jobs that lost theirs, and of new batches of free tasks."""

from collections.abc import Iterator

import dagster as dg

from trajgen_assets.core.clock import now
from trajgen_assets.core.keys import MAIN_CAMPAIGN
from trajgen_assets.core.ledger.models import JobRow, JobState, TaskFilter, TaskStatus
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.rollout.batch import assign_batch
from trajgen_assets.launches import is_lost, launch_of, run_config, run_key
from trajgen_assets.names import ROLLOUT_OP

UNLIMITED = 1_000_000


def due_requests(instance: dg.DagsterInstance, platform: Platform, words: list[str]) -> Iterator[dg.RunRequest]:
    """Ask for the runs that are due now, and note in `words` what was asked for or why not.

    First for jobs that are assigned and have no living run, then for new batches of free tasks.
    """
    automation = platform.config.runtime_info.input.automation
    if not automation.enabled:
        words.append("automation.enabled is false, so nothing is requested; `trajgen start` rolls out by hand")
        return
    for job in platform.ledger.jobs_to_launch():
        if is_lost(instance, job) and not _pause(platform, job.dataset):
            fresh = job if job.requested_at is None else platform.ledger.new_launch(job.name)
            words.append(f"job {job.name} is requested again, as launch {fresh.launch}")
            yield _request(instance, platform, fresh)
    datasets = [source.dataset for source in platform.config.sources()]
    while datasets:  # a batch from each in turn, so that a large data set does not hold up the others
        jobs = {dataset: _next_job(platform, dataset, words) for dataset in datasets}
        yield from (_request(instance, platform, job) for job in jobs.values() if job is not None)
        datasets = [dataset for dataset, job in jobs.items() if job is not None]


def _next_job(platform: Platform, dataset: str, words: list[str]) -> JobRow | None:
    """Bind the next batch of free tasks to a job, unless something speaks against it now."""
    automation, ledger = platform.config.runtime_info.input.automation, platform.ledger
    if len(ledger.jobs_to_launch()) >= automation.max_jobs:
        words.append("earlier batches still wait for a job slot")
        return None
    if pause := _pause(platform, dataset):
        words.append(pause)
        return None
    limit = min(automation.batch_max, _left_today(platform))
    if limit < 1:
        words.append("automation.max_tasks_per_day is reached")
        return None
    n_free = ledger.counts(MAIN_CAMPAIGN, dataset).assignable
    if n_free < automation.batch_min and not _waited_enough(platform, dataset):
        words.append(f"{dataset}: {n_free} tasks wait for a batch of {automation.batch_min}")
        return None
    job = assign_batch(platform, MAIN_CAMPAIGN, dataset, limit=limit).job
    if job is not None:
        words.append(f"{dataset}: {job.n_tasks} tasks are requested as job {job.name}")
    return job


def _pause(platform: Platform, dataset: str) -> str | None:
    """Why launches of a data set are held back, if they are."""
    breaker = platform.ledger.breaker_state(dataset)
    if not breaker.holds(now()):
        return None
    return f"{dataset}: paused until {breaker.until:%H:%M:%S} UTC after failures of the {breaker.cause}"


def _left_today(platform: Platform) -> int:
    """How many tasks may still be assigned on this day, in UTC."""
    cap = platform.config.runtime_info.input.automation.max_tasks_per_day
    if cap is None:
        return UNLIMITED
    jobs = [job for job in platform.ledger.jobs() if job.state is not JobState.REFUSED]
    return cap - sum(job.n_tasks for job in jobs if job.assigned_at.date() == now().date())


def _waited_enough(platform: Platform, dataset: str) -> bool:
    """Whether the oldest free task has waited so long that a batch goes out however small it is."""
    rows = platform.ledger.rows(TaskFilter(MAIN_CAMPAIGN, dataset, TaskStatus.PENDING))
    free = [row.updated_at for row in rows if row.eligible and row.job is None]
    wait_s = platform.config.runtime_info.input.automation.wait_s
    return bool(free) and (now() - min(free)).total_seconds() >= wait_s


def _request(instance: dg.DagsterInstance, platform: Platform, job: JobRow) -> dg.RunRequest:
    """Ask for the run of a job, and note in the ledger that it was asked for."""
    keys = [row.key.partition for row in platform.ledger.tasks_of_job(job.name)]
    launch = launch_of(instance, keys)
    platform.ledger.mark_requested(job.name, job.launch)
    return dg.RunRequest(
        run_key=run_key(job),
        partition_key=launch.partition_key,
        run_config=run_config(ROLLOUT_OP, job=job.name),
        tags={
            **launch.tags,
            "trajgen/job": job.name,
            "trajgen/dataset": job.dataset,
            "trajgen/n_tasks": str(len(keys)),
        },
    )
