"""Makes the results and the data of each job that is over: exactly once for each set of accepted trials."""

from collections.abc import Iterator

import dagster as dg

from resources.platform import PlatformResource
from trajgen_assets.core.ledger.models import JobRow
from trajgen_assets.core.platform import Platform
from trajgen_assets.names import DATA_JOB, JOBS
from trajgen_assets.partitions import add_partitions, data_assets, is_converted

INTERVAL_S = 15

# After that many failures a person has to look: the run's page says why, and a click on the partition tries again.
MAX_FAILURES = 3


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
    with platform.opened() as opened:
        requests = list(_requests(context.instance, opened))
    return dg.SensorResult(run_requests=requests) if requests else dg.SkipReason("no job has ended since")


def _requests(instance: dg.DagsterInstance, platform: Platform) -> Iterator[dg.RunRequest]:
    for job in platform.ledger.jobs_needing_downstream():
        n_failed = _n_failed(instance, job)
        if platform.root.job(job.name).trials.exists() and n_failed < MAX_FAILURES:
            yield _request(instance, platform, job, n_failed)


def _n_failed(instance: dg.DagsterInstance, job: JobRow) -> int:
    """How many runs for the data of a job have failed: Dagster blocks the key of each for ever."""
    over = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
    return instance.get_runs_count(dg.RunsFilter(job_name=DATA_JOB, tags={"trajgen/job": job.name}, statuses=over))


def _request(instance: dg.DagsterInstance, platform: Platform, job: JobRow, n_failed: int) -> dg.RunRequest:
    trials = platform.root.job(job.name).trials
    add_partitions(instance, JOBS, [job.name])
    return dg.RunRequest(
        run_key=f"{job.name}:{job.accepted_digest}:{n_failed}",
        partition_key=job.name,
        asset_selection=data_assets(convert=is_converted(platform.config, job.campaign, trials)),
        tags={"trajgen/job": job.name},
    )
