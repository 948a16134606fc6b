"""Watches the manifests: registers what is listed, shows it as partitions, requests runs where that is on."""

import json
from collections.abc import Iterator
from typing import Any

import dagster as dg

from resources.platform import PlatformResource
from trajgen_assets.core.clock import now
from trajgen_assets.core.errors import ManifestError
from trajgen_assets.core.intake.registration import Registration, register_source
from trajgen_assets.core.keys import MAIN_CAMPAIGN
from trajgen_assets.core.ledger.models import JobRow
from trajgen_assets.core.ledger.view import PublishedView
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.rollout.batch import assign_batch
from trajgen_assets.core.rollout.recover import recover_lost_jobs
from trajgen_assets.launches import is_lost, launch_of, run_config, run_key
from trajgen_assets.partitions import ROLLOUT_JOB, ROLLOUT_OP, show_new_partitions

VERIFIED_TASKS = dg.AssetKey(["swegen", "verified_tasks"])
INTERVAL_S = 30


@dg.sensor(
    name="verified_tasks",
    job_name=ROLLOUT_JOB,
    minimum_interval_seconds=INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Reads every manifest, registers its ids in the ledger, adds them as partitions, settles jobs whose driver "
        "died, and requests runs for free tasks. With automation.enabled: false it does all but the last."
    ),
)
def verified_tasks(context: dg.SensorEvaluationContext, platform: PlatformResource) -> dg.SensorResult | dg.SkipReason:
    """One tick. A bad manifest is reported and does not keep the others back.

    The cursor holds the digests of the manifests that were reported as events; losing it repeats an event, no more.
    """
    opened = platform.open()
    events, words = [], []
    reported: dict[str, str] = json.loads(context.cursor or "{}")
    recovered = recover_lost_jobs(opened)
    words += [f"settled {len(recovered)} jobs whose driver died"] if recovered else []
    for source in opened.config.sources():
        try:
            registration = register_source(opened.ledger, source, MAIN_CAMPAIGN)
        except ManifestError as error:
            context.log.error(str(error))
            words.append(f"{source.dataset}: {error}")
            continue
        if reported.get(source.dataset) != registration.manifest.sha256:
            events.append(_manifest_event(registration))
            reported[source.dataset] = registration.manifest.sha256
        words.append(_summary(registration))
    show_new_partitions(context.instance, opened.ledger)
    requests = list(_requests(context.instance, opened, words))
    PublishedView(opened.ledger, opened.root).refresh()
    return dg.SensorResult(
        run_requests=requests,
        asset_events=events,
        cursor=json.dumps(reported),
        skip_reason=None if requests else dg.SkipReason("; ".join(words) or "no task source is configured"),
    )


def _requests(instance: dg.DagsterInstance, platform: Platform, words: list[str]) -> Iterator[dg.RunRequest]:
    automation = platform.config.runtime_info.input.automation
    if not automation.enabled:
        words.append("automation.enabled is false, so nothing is requested; `trajgen start` rolls out by hand")
        return
    for job in platform.ledger.jobs_to_launch():
        if is_lost(instance, job):
            yield _request(
                instance, platform, job if job.requested_at is None else platform.ledger.new_launch(job.name)
            )
    for source in platform.config.sources():
        while (fresh := _next_job(platform, source.dataset, words)) is not None:
            yield _request(instance, platform, fresh)


def _next_job(platform: Platform, dataset: str, words: list[str]) -> JobRow | None:
    """Bind the next batch of free tasks to a job, unless earlier batches still wait or launches are paused."""
    automation = platform.config.runtime_info.input.automation
    if len(platform.ledger.jobs_to_launch()) >= automation.max_jobs:
        words.append("earlier batches still wait for a job slot")
        return None
    breaker = platform.ledger.breaker_state(dataset)
    if breaker.holds(now()):
        words.append(f"{dataset}: paused until {breaker.until:%H:%M:%S} UTC after failures of the {breaker.cause}")
        return None
    if platform.ledger.counts(MAIN_CAMPAIGN, dataset).assignable < automation.batch_min:
        return None
    return assign_batch(platform, MAIN_CAMPAIGN, dataset, limit=automation.batch_max).job


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


def _manifest_event(registration: Registration) -> dg.AssetMaterialization:
    manifest = registration.manifest
    metadata: dict[str, Any] = {
        "dataset": registration.source.dataset,
        "n_listed": len(manifest.entries),
        "n_waiting": len(registration.waiting),
        "sha256": manifest.sha256,
        "path": dg.MetadataValue.path(str(manifest.path)),
    }
    tags = {"dagster/data_version": manifest.sha256}
    return dg.AssetMaterialization(VERIFIED_TASKS, metadata=metadata, tags=tags)


def _summary(registration: Registration) -> str:
    result, waiting = registration.result, registration.waiting
    text = f"{registration.source.dataset}: {len(registration.manifest.entries)} listed, {len(result.new)} new"
    if waiting:
        text += (
            f", {len(waiting)} not usable ({', '.join(f'{name}: {why}' for name, why in list(waiting.items())[:3])})"
        )
    return text
