"""Watches the manifests: registers what is listed, shows it as partitions, requests runs where that is on."""

import json
from collections.abc import Iterator
from typing import Any

import dagster as dg

from resources.platform import PlatformResource
from trajgen_assets.core.errors import ManifestError
from trajgen_assets.core.faults import reached
from trajgen_assets.core.intake.registration import Registration, register_source
from trajgen_assets.core.keys import MAIN_CAMPAIGN
from trajgen_assets.core.ledger.view import PublishedView
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.rollout.recover import recover_lost_jobs
from trajgen_assets.dispatch import due_requests
from trajgen_assets.names import ROLLOUT_JOB, VERIFIED_TASKS
from trajgen_assets.partitions import show_new_partitions

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
    What the tick found is its skip reason; a tick in which something happened also has it as its log.
    """
    if platform.is_unfilled():
        return dg.SkipReason("config.yaml is not filled in yet: see `trajgen init`")
    reported: dict[str, str] = json.loads(context.cursor or "{}")
    with platform.opened() as opened:
        words = recover_lost_jobs(opened).words
        recovered = bool(words)
        events = list(_read_manifests(context, opened, reported, words))
        reached("after_register")
        show_new_partitions(context.instance, opened.ledger)
        reached("after_partitions")
        PublishedView(opened.ledger, opened.root).refresh()
        requests = list(due_requests(context.instance, opened, words))
    if recovered or events or requests:
        for line in words:
            context.log.info(line)
    return dg.SensorResult(
        run_requests=requests,
        asset_events=events,
        cursor=json.dumps(reported),
        skip_reason=None if requests else dg.SkipReason("; ".join(words) or "no task source is configured"),
    )


def _read_manifests(
    context: dg.SensorEvaluationContext, platform: Platform, reported: dict[str, str], words: list[str]
) -> Iterator[dg.AssetMaterialization]:
    """Register each manifest, note in `words` what it came to, and yield an event for each that has changed."""
    for source in platform.config.sources():
        try:
            registration = register_source(platform.ledger, source, MAIN_CAMPAIGN)
        except ManifestError as error:
            context.log.error(str(error))
            words.append(f"{source.dataset}: {error}")
            continue
        words.append(_summary(registration))
        if reported.get(source.dataset) != registration.manifest.sha256:
            reported[source.dataset] = registration.manifest.sha256
            yield _manifest_event(registration)


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
