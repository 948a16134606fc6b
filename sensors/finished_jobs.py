"""Makes the results and the data of each job that is over: exactly once for each set of accepted trials."""

from collections.abc import Iterator
from datetime import datetime
from itertools import takewhile

import dagster as dg
from dagster._core.storage.tags import MAX_RETRIES_TAG

from resources.platform import PlatformResource
from trajgen_assets.core.counting import count_of
from trajgen_assets.core.ledger.models import AskedBy, JobRow
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.sft.making import is_data_being_made
from trajgen_assets.launches import RUN_KEY_TAG
from trajgen_assets.names import DATA_JOB, JOBS
from trajgen_assets.partitions import add_partitions, data_assets, is_converted

INTERVAL_S = 15

# After that many runs a person has to look: the run's page says why, and a click on the partition tries again.
MAX_RUNS = 3

# `trajgen start` makes the data of its job itself. From the job's end until it is seen to be at it takes some seconds.
HEAD_START_S = 15.0


@dg.sensor(
    name="finished_jobs",
    job_name=DATA_JOB,
    minimum_interval_seconds=INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Asks the ledger for jobs that are over, in whatever way, and requests their job_result, and with "
        "sft_conversion.enabled their sft_im and sft_lf."
    ),
)
def finished_jobs(context: dg.SensorEvaluationContext, platform: PlatformResource) -> dg.SensorResult | dg.SkipReason:
    """One tick. The run key holds the digest of the accepted trials: Dagster drops a request that it has seen.

    The ledger is told by the run itself when it is done, so that a tick that dies half-way loses nothing.
    """
    if platform.is_unfilled():
        return dg.SkipReason("config.yaml is not filled in yet: see `trajgen init`")
    if why := platform.why_unusable():
        return dg.SkipReason(f"no data is made until the configuration is mended: {why}")
    words: list[str] = []
    with platform.opened() as opened:
        requests = list(_requests(context.instance, opened, words))
    said = "; ".join(words) or "no job has ended since"
    return dg.SensorResult(run_requests=requests) if requests else dg.SkipReason(said)


def _requests(instance: dg.DagsterInstance, platform: Platform, words: list[str]) -> Iterator[dg.RunRequest]:
    """One request for each job that needs one; adds to `words` why others get none now."""
    # Locks are looked at before the ledger: whoever has done it tells the ledger first, and lets go of the lock then.
    due = platform.ledger.jobs_needing_downstream()
    in_work = {job.name for job in due if is_data_being_made(platform.root, job.name)}
    for job in platform.ledger.jobs_needing_downstream():
        if not platform.root.job(job.name).trials.exists():
            continue
        n_over = _n_over(instance, job)
        if job.name in in_work:
            words.append(f"the data of {job.name} is just being made")
        elif _has_head_start(job, platform.ledger.now()):
            words.append(f"the `trajgen start` of {job.name} makes its data itself")
        elif n_over >= MAX_RUNS:
            words.append(
                f"{count_of(n_over, 'run')} did not make the data of {job.name}: see them, and materialize it by hand"
            )
        else:
            yield _request(instance, platform, job, n_over)


def _has_head_start(job: JobRow, now: datetime) -> bool:
    """Whether a job of `trajgen start` ended so lately that the command may be about to make the data."""
    ended = job.finished_at
    return job.asked_by is AskedBy.START and ended is not None and (now - ended).total_seconds() < HEAD_START_S


def _n_over(instance: dg.DagsterInstance, job: JobRow) -> int:
    """How many of our runs are over and have not made the data of these trials: Dagster blocks the key of each."""
    over = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
    keys = (_run_key(job, n) for n in range(MAX_RUNS))
    runs = (dg.RunsFilter(tags={RUN_KEY_TAG: key}, statuses=over) for key in keys)
    return sum(1 for _ in takewhile(instance.get_runs_count, runs))


def _run_key(job: JobRow, n_over: int) -> str:
    return f"{job.name}:{job.accepted_digest}:{n_over}"


def _request(instance: dg.DagsterInstance, platform: Platform, job: JobRow, n_over: int) -> dg.RunRequest:
    trials = platform.root.job(job.name).trials
    add_partitions(instance, JOBS, [job.name])
    return dg.RunRequest(
        run_key=_run_key(job, n_over),
        partition_key=job.name,
        asset_selection=data_assets(convert=is_converted(platform.config, job.campaign, trials)),
        # Dagster would run again what died, and so would the next tick.
        tags={"trajgen/job": job.name, MAX_RETRIES_TAG: "0"},
    )
