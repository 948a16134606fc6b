"""Watches the manifests: registers what is listed, shows it as partitions, requests runs where that is on."""

from contextlib import suppress
from typing import Any

import dagster as dg

from resources.config_file import config_path
from resources.platform import PlatformResource
from trajgen_assets.core.errors import LedgerMissingError, ManifestError
from trajgen_assets.core.faults import reached
from trajgen_assets.core.intake.batch_state import read_batch_state
from trajgen_assets.core.intake.growth import Cursor, Growth, follow_manifest, look_in_turn
from trajgen_assets.core.intake.source import TaskSource
from trajgen_assets.core.keys import MAIN_CAMPAIGN
from trajgen_assets.core.ledger.store import open_ledger
from trajgen_assets.core.ledger.view import PublishedView
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.report.charts import usable_bars
from trajgen_assets.core.report.heartbeat import beat
from trajgen_assets.core.report.standing import configured, publish_standing, publish_standing_if_changed
from trajgen_assets.core.rollout.recover import recover_lost_jobs
from trajgen_assets.dispatch import due_requests
from trajgen_assets.names import ROLLOUT_JOB, VERIFIED_TASKS
from trajgen_assets.partitions import show_new_partitions, show_settled_trials

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

    The cursor holds how far each manifest was read; losing it costs reading in full and repeats events, no more.
    What the tick found is its skip reason; a tick in which something happened also has it as its log.
    """
    beat(platform.artifacts_root())
    if platform.is_unfilled():
        _publish_fault(platform)
        return dg.SkipReason("config.yaml is not filled in yet: see `trajgen init`")
    if why := platform.why_unusable():
        _publish_fault(platform)
        return dg.SkipReason(f"no new job begins until the configuration is mended: {why}")
    cursor = Cursor.parse(context.cursor)
    with platform.opened() as opened:
        recovery = recover_lost_jobs(opened)
        show_settled_trials(context.instance, opened.root, recovery.settled)
        words = recovery.words
        recovered = bool(words)
        growths = _read_manifests(context, opened, cursor, words)
        cursor, events = _look_at_tasks(opened, cursor, growths, words)
        reached("after_register")
        show_new_partitions(context.instance, opened.ledger)
        reached("after_partitions")
        view = PublishedView(opened.ledger, opened.root).refresh_if_changed(cursor.view)
        requests = list(due_requests(context.instance, opened, words))
        standing = publish_standing_if_changed(opened, cursor.standing, tasks_seen=view)
    if recovered or events or requests:
        for line in words:
            context.log.info(line)
    return dg.SensorResult(
        run_requests=requests,
        asset_events=events,
        cursor=cursor.model_copy(update={"view": view, "standing": standing}).model_dump_json(),
        skip_reason=None if requests else dg.SkipReason("; ".join(words) or "no task source is configured"),
    )


def _publish_fault(platform: PlatformResource) -> None:
    """Say in `status.yaml` what is wrong with the configuration, where there is a ledger."""
    root = platform.artifacts_root()
    with suppress(LedgerMissingError), open_ledger(root) as ledger:
        publish_standing(root, ledger, configured(config_path(platform.config)))


def _read_manifests(
    context: dg.SensorEvaluationContext, platform: Platform, cursor: Cursor, words: list[str]
) -> list[Growth]:
    """Register each manifest; note in `words` which cannot be read, and why."""
    growths = []
    for source in platform.config.sources():
        seen = cursor.manifests.get(source.dataset)
        try:
            growths.append(follow_manifest(platform.ledger, source, MAIN_CAMPAIGN, seen))
        except ManifestError as error:
            context.log.error(str(error))
            words.append(f"{source.dataset}: {error}")
    return growths


def _look_at_tasks(
    platform: Platform, cursor: Cursor, growths: list[Growth], words: list[str]
) -> tuple[Cursor, list[dg.AssetMaterialization]]:
    """Look at the folders of waiting tasks, and note in `words` what each data set came to.

    Returns:
        The cursor from which the next tick goes on, and an event for each manifest that has changed.
    """
    looked_to = {dataset: seen.looked_to for dataset, seen in cursor.manifests.items()}
    looked_to = look_in_turn(platform.ledger, MAIN_CAMPAIGN, [each.source for each in growths], looked_to)
    manifests, events = dict(cursor.manifests), []
    for growth in growths:
        dataset = growth.source.dataset
        manifests[dataset] = growth.seen.model_copy(update={"looked_to": looked_to[dataset]})
        n_waiting, reasons = growth.waiting(platform.ledger, MAIN_CAMPAIGN)
        words.append(_summary(growth, n_waiting, reasons))
        if growth.has_changed:
            events.append(_manifest_event(growth, n_waiting))
    return cursor.model_copy(update={"manifests": manifests}), events


def _manifest_event(growth: Growth, n_waiting: int) -> dg.AssetMaterialization:
    seen = growth.seen
    metadata: dict[str, Any] = {
        "dataset": growth.source.dataset,
        "n_listed": seen.end.n_entries,
        "n_waiting": n_waiting,
        "summary": dg.MetadataValue.md(usable_bars(seen.end.n_entries, n_waiting)),
        "sha256": seen.sha256,
        "path": dg.MetadataValue.path(seen.path),
        **_upstream(growth.source),
    }
    return dg.AssetMaterialization(VERIFIED_TASKS, metadata=metadata, tags={"dagster/data_version": seen.sha256})


def _upstream(source: TaskSource) -> dict[str, Any]:
    """What swegen left of the batches that made the tasks. What is missing is said, and is no fault of the manifest."""
    state = read_batch_state(source.folder)
    known: dict[str, Any] = {
        "swegen_verified": state.n_verified,
        "swegen_failed": state.n_failed,
        "swegen_filtered": state.n_filtered,
        "swegen_running": state.n_running,
        "swegen_other": state.n_other,
        "swegen_last_batch": state.last_batch,
        "swegen_last_at": dg.MetadataValue.timestamp(state.last_at) if state.last_at else None,
        "swegen_last_elapsed_s": state.last_elapsed_s,
    }
    shown = {name: value for name, value in known.items() if value is not None} if state.last_batch else {}
    if state.log is not None:
        shown["swegen_log"] = dg.MetadataValue.path(str(state.log))
    return shown | ({"swegen_state": "; ".join(state.problems)} if state.problems else {})


def _summary(growth: Growth, n_waiting: int, reasons: list[str]) -> str:
    text = f"{growth.source.dataset}: {growth.seen.end.n_entries} listed, {growth.n_new} new"
    text += f", {n_waiting} not usable yet ({', '.join(reasons)})" if n_waiting else ""
    return text + (f", {growth.pending}" if growth.pending else "")
