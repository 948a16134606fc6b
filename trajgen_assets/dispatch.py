"""Which runs to ask Dagster for now: of jobs that lost theirs, and of new batches of free tasks."""

import math
from collections.abc import Container, Iterator
from contextlib import suppress
from dataclasses import dataclass

import dagster as dg

from trajgen_assets.core.counting import count_of
from trajgen_assets.core.errors import LedgerError, TrajgenError
from trajgen_assets.core.faults import reached
from trajgen_assets.core.intake.exclusions import excluded_ids
from trajgen_assets.core.keys import MAIN_CAMPAIGN
from trajgen_assets.core.ledger.models import (
    AskedBy,
    BreakerState,
    FreeTasks,
    JobRow,
    JobState,
)
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.rollout.batch import assign_batch
from trajgen_assets.core.rollout.limits import max_runtime_s
from trajgen_assets.core.rollout.pausing import why_none_begins
from trajgen_assets.core.rollout.trial_slots import least_to_begin, this_host
from trajgen_assets.launches import demand_tags, is_cancelled, is_lost, launch_of, run_config, run_key
from trajgen_assets.names import ROLLOUT_OP

UNLIMITED = 1_000_000

# A probe that has said nothing by then is taken for lost, and another one goes.
PROBE_TIME_S = 1800.0


def due_requests(instance: dg.DagsterInstance, platform: Platform, words: list[str]) -> Iterator[dg.RunRequest]:
    """Ask for the runs that are due now, and note in `words` what was asked for or why not.

    A run is asked for only when it could begin at once: a job slot is free, and a quarter of the host's trial slots.
    Jobs that a person asked for by a click come first, and also where automation is off; jobs of the sensor that lost
    their run come next, then new batches of free tasks.
    """
    ledger, automation = platform.ledger, platform.config.runtime_info.input.automation
    let_go(instance, platform, words)
    assigned = ledger.jobs_to_launch()
    waiting = [job for job in assigned if is_lost(instance, job, ledger.now())]
    room = _Room.of(platform, in_flight=[job for job in assigned if job not in waiting])
    by_click = [job for job in waiting if job.asked_by is AskedBy.CLICK]
    yield from _again(instance, platform, by_click, room, words)
    if not automation.enabled:
        words.append("automation.enabled is false, so nothing is requested; `trajgen start` rolls out by hand")
        return
    yield from _again(instance, platform, [job for job in waiting if job not in by_click], room, words)
    datasets = [source.dataset for source in platform.config.sources()]
    while datasets:  # a batch from each in turn, so that a large data set does not hold up the others
        jobs = {dataset: _next_job_or_word(platform, dataset, room, words) for dataset in datasets}
        yield from (_request(instance, platform, job) for job in jobs.values() if job is not None)
        datasets = [dataset for dataset, job in jobs.items() if job is not None]


@dataclass
class _Room:
    """What may still begin on this host, with all that runs and all that was asked for taken off."""

    n_jobs: int
    n_trials: int
    n_concurrent: int
    max_trials: int

    @classmethod
    def of(cls, platform: Platform, *, in_flight: list[JobRow]) -> "_Room":
        inputs, ledger = platform.config.runtime_info.input, platform.ledger
        automation, n_concurrent = inputs.automation, inputs.harbor_job.n_concurrent
        running = ledger.jobs(JobState.RUNNING)
        room = cls(
            automation.max_jobs - len(running),
            automation.max_trials - ledger.slots_in_use(this_host(), claimed=True),
            n_concurrent,
            automation.max_trials,
        )
        for job in _next_of_each_run(in_flight, busy={job.owner for job in running}):
            room.take(job.n_tasks)
        return room

    def has(self, n_tasks: int) -> bool:
        """Whether a job of so many tasks could begin now."""
        want = min(self.n_concurrent, n_tasks)
        return self.n_jobs > 0 and self.n_trials >= least_to_begin(want, self.max_trials)

    def take(self, n_tasks: int) -> None:
        """Count a job in."""
        self.n_jobs -= 1
        self.n_trials -= min(self.n_concurrent, n_tasks)

    @property
    def why_full(self) -> str:
        if self.n_jobs <= 0:
            return "earlier batches hold every job slot"
        return f"{max(0, self.n_trials)} of {self.max_trials} trial slots are free, too few for another job"


def _next_of_each_run(in_flight: list[JobRow], *, busy: Container[str | None]) -> list[JobRow]:
    """Of the jobs whose runs live, those that may begin at any time.

    A run that was clicked over several data sets holds a job of each and begins one when the last has ended, so of a
    run that has a job running none is counted, and of any other the largest.
    """
    chosen: dict[str, JobRow] = {}
    for job in sorted(in_flight, key=lambda each: each.n_tasks):
        if job.run_id is None or job.run_id not in busy:
            chosen[job.run_id or job.name] = job
    return list(chosen.values())


def let_go(instance: dg.DagsterInstance, platform: Platform, words: list[str]) -> None:
    """Free the tasks of assigned jobs that nobody will launch any more, and note them in `words`.

    A job whose run was cancelled before it began; one of a `trajgen start` that is gone; one of the sensor that lost
    its run, once automation is off. What a person clicked on waits for room.
    """
    ledger = platform.ledger
    for job in ledger.jobs_to_launch():
        if is_lost(instance, job, ledger.now()):
            ledger.release_unclaimed_slots(job.name)  # its run may have been killed while it held some
        if note := _why_given_up(instance, platform, job):
            _withdraw(platform, job, note, words)


def _withdraw(platform: Platform, job: JobRow, note: str, words: list[str]) -> None:
    with suppress(LedgerError):  # another tick or command was faster
        platform.ledger.withdraw(job.name, note=note)
        words.append(
            f"job {job.name} is given up ({note}), and its {count_of(job.n_tasks, 'task is', 'tasks are')} free again"
        )


def _why_given_up(instance: dg.DagsterInstance, platform: Platform, job: JobRow) -> str | None:
    if is_cancelled(instance, job):
        return "its run was cancelled before it began"
    if job.asked_by is AskedBy.CLICK or not is_lost(instance, job, platform.ledger.now()):
        return None
    if job.asked_by is AskedBy.START:
        return "the command that started it is gone"
    return None if platform.config.runtime_info.input.automation.enabled else "its run is lost, and automation is off"


def _again(
    instance: dg.DagsterInstance, platform: Platform, waiting: list[JobRow], room: _Room, words: list[str]
) -> Iterator[dg.RunRequest]:
    """Launch jobs whose run was lost, or found no slot, once more. In a pause a batch of the sensor is given up."""
    for job in waiting:
        held = why_none_begins(platform, job.dataset)
        in_a_pause = platform.ledger.breaker_state(job.dataset).state is not BreakerState.CLOSED
        if in_a_pause and job.asked_by is not AskedBy.CLICK:
            _withdraw(platform, job, "launches are paused", words)
        elif held is not None and job.asked_by is not AskedBy.CLICK:
            _withdraw(platform, job, held, words)
        elif held is not None:
            words.append(f"job {job.name} waits: {held}")
        elif not room.has(job.n_tasks):
            words.append(f"job {job.name} waits: {room.why_full}")
        elif _may_launch(platform, job.dataset, words) > 0:
            with suppress(LedgerError):  # another tick or command was faster
                fresh = job if job.requested_at is None else platform.ledger.new_launch(job.name)
                words.append(f"job {job.name} is requested again, as launch {fresh.launch}")
                room.take(job.n_tasks)
                yield _request(instance, platform, fresh)


def _next_job_or_word(platform: Platform, dataset: str, room: _Room, words: list[str]) -> JobRow | None:
    """As `_next_job`; what is wrong with one data set does not keep back the others, nor what was asked for already."""
    try:
        if held := why_none_begins(platform, dataset):
            words.append(f"{dataset}: {held}")
            return None
        return _next_job(platform, dataset, room, words)
    except TrajgenError as error:
        words.append(f"{dataset}: {error}")
        return None


def _next_job(platform: Platform, dataset: str, room: _Room, words: list[str]) -> JobRow | None:
    """Bind the next batch of free tasks to a job, unless something speaks against it now."""
    automation, ledger = platform.config.runtime_info.input.automation, platform.ledger
    free = ledger.free(MAIN_CAMPAIGN, dataset, exclude=excluded_ids(platform.config, platform.root))
    if free.n == 0:
        return None
    limit = min(automation.batch_max, _left_today(platform), free.n)
    if limit < 1:
        words.append("automation.max_tasks_per_day is reached")
        return None
    if not room.has(limit):
        words.append(f"{dataset}: {count_of(free.n, 'task waits', 'tasks wait')}: {room.why_full}")
        return None
    if free.n < automation.batch_min and not _waited_enough(platform, free):
        words.append(f"{dataset}: {count_of(free.n, 'task waits', 'tasks wait')} for a batch of {automation.batch_min}")
        return None
    limit = min(limit, _may_launch(platform, dataset, words))
    if limit < 1:
        return None
    job = assign_batch(platform, MAIN_CAMPAIGN, dataset, asked_by=AskedBy.SENSOR, limit=limit).job
    reached("after_assign")
    if job is not None:
        words.append(f"{dataset}: {count_of(job.n_tasks, 'task is', 'tasks are')} requested as job {job.name}")
        room.take(job.n_tasks)
    return job


def _may_launch(platform: Platform, dataset: str, words: list[str]) -> int:
    """How many tasks of a data set a job may take: none during a pause, one to see whether it is over, else all."""
    ledger = platform.ledger
    breaker = ledger.breaker_state(dataset)
    if breaker.state is BreakerState.CLOSED:
        return UNLIMITED
    if ledger.try_probe(dataset, within_s=PROBE_TIME_S):
        words.append(f"{dataset}: one task goes to see whether the {breaker.cause} works again")
        return 1
    until = ledger.breaker_state(dataset).until
    words.append(f"{dataset}: paused until {until:%H:%M:%S} UTC after failures of the {breaker.cause}")
    return 0


def _left_today(platform: Platform) -> int:
    """How many tasks of campaign `main` may still be assigned on this day, in UTC."""
    cap = platform.config.runtime_info.input.automation.max_tasks_per_day
    if cap is None:
        return UNLIMITED
    midnight = platform.ledger.now().replace(hour=0, minute=0, second=0, microsecond=0)
    return cap - platform.ledger.n_assigned_since(MAIN_CAMPAIGN, midnight)


def _waited_enough(platform: Platform, free: FreeTasks) -> bool:
    """Whether the first of the free tasks has waited so long that a batch goes out however small it is."""
    wait_s = platform.config.runtime_info.input.automation.wait_s
    return free.since is not None and (platform.ledger.now() - free.since).total_seconds() >= wait_s


def _request(instance: dg.DagsterInstance, platform: Platform, job: JobRow) -> dg.RunRequest:
    """Ask for the run of a job, and note in the ledger that it was asked for."""
    keys = [row.key.partition for row in platform.ledger.tasks_of_job(job.name)]
    launch = launch_of(instance, keys)
    platform.ledger.mark_requested(job.name, job.launch)
    n_at_once = min(platform.config.runtime_info.input.harbor_job.n_concurrent, job.n_tasks)
    return dg.RunRequest(
        run_key=run_key(job),
        partition_key=launch.partition_key,
        run_config=run_config(ROLLOUT_OP, job=job.name),
        tags={
            **launch.tags,
            **demand_tags(instance, n_at_once),
            "trajgen/job": job.name,
            "trajgen/dataset": job.dataset,
            "trajgen/n_tasks": str(len(keys)),
            dg.MAX_RUNTIME_SECONDS_TAG: str(math.ceil(max_runtime_s(platform, job))),
        },
    )
