"""Turns what went wrong into one message each: in the log, in `logs/alerts.jsonl`, and to a webhook."""

from collections.abc import Container, Iterator
from datetime import datetime

import dagster as dg

from resources.config_file import config_path
from resources.platform import PlatformResource
from resources.redaction import known_secrets
from trajgen_assets.core import clock
from trajgen_assets.core.config.load import load_config
from trajgen_assets.core.errors import LedgerError
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.report.alarms import episode, job_alarms, standing_alarms
from trajgen_assets.core.report.alerts import Alert, raise_alerts, read_alerts
from trajgen_assets.core.report.delivery import MAX_AGE, send_out
from trajgen_assets.launches import RUN_KEY_TAG
from trajgen_assets.names import DATA_JOB, PREPARED_TASKS, ROLLOUT_JOB, TRAJECTORIES

INTERVAL_S = 30

# How many failed runs, and how many evaluations of each check, a tick looks at: those of a day, as far as that goes.
N_RUNS = 100
N_EVALUATIONS = 200
WILL_RETRY_TAG = "dagster/will_retry"


@dg.sensor(
    name="alerts",
    minimum_interval_seconds=INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Tells of failed jobs, runs and checks, outages of the provider, a nearly full disk and used-up budgets, once "
        "each: in its log, in logs/alerts.jsonl, and by alerts.webhook. It starts nothing."
    ),
)
def alerts(context: dg.SensorEvaluationContext, platform: PlatformResource) -> dg.SkipReason:
    """One tick. It has no cursor: what was told of is written down by what it is about, so nothing is told twice."""
    if platform.is_unfilled():
        return dg.SkipReason("config.yaml is not filled in yet: see `trajgen init`")
    if why := platform.why_unusable():
        return dg.SkipReason(f"alerts are written down, and not sent until the configuration is mended: {why}")
    root, config = platform.artifacts_root(), load_config(config_path(platform.config))
    redact = known_secrets(config.path).text
    try:
        with platform.opened() as opened:
            found = list(_alarms(context, opened))
    except LedgerError as error:
        found = [Alert("ledger", error.what, str(error))]
    news = raise_alerts(root, found, redact=redact)
    sent = send_out(root, config, redact)
    for line in [f"alert: {each.text}" for each in news] + sent:
        context.log.warning(line)
    return dg.SkipReason("; ".join([*(each.text for each in news), *sent]) or "nothing new is wrong")


def _alarms(context: dg.SensorEvaluationContext, platform: Platform) -> Iterator[Alert]:
    since = clock.now() - MAX_AGE
    yield from standing_alarms(platform)
    yield from job_alarms(platform, since)
    yield from run_alarms(context.instance, since, {each.id for each in read_alerts(platform.root)})
    if context.repository_def is not None:
        keys = sorted(context.repository_def.asset_graph.asset_check_keys, key=str)
        yield from check_alarms(context.instance, platform, since, keys)


def run_alarms(instance: dg.DagsterInstance, since: datetime, known: Container[str]) -> Iterator[Alert]:
    """Runs that failed and that Dagster does not try again. Of rollouts the ledger says more: see `job_alarms`."""
    failed = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=since)
    for run in instance.get_runs(failed, limit=N_RUNS):
        about = _about(run)
        if f"run:{about}" in known or _is_rollout(run) or run.tags.get(WILL_RETRY_TAG) == "true":
            continue
        yield Alert("run", about, f"run {run.run_id[:8]} of {run.job_name} failed: {_why(instance, run.run_id)}")


def _about(run: dg.DagsterRun) -> str:
    """The run; or the accepted trials of a job, whose data several runs try to make."""
    run_key = run.tags.get(RUN_KEY_TAG, "")
    return run_key.rpartition(":")[0] if run.job_name == DATA_JOB and run_key else run.run_id


def _is_rollout(run: dg.DagsterRun) -> bool:
    """Whether it is red as soon as one task has no valid result."""
    return run.job_name == ROLLOUT_JOB or bool({PREPARED_TASKS, TRAJECTORIES} & (run.asset_selection or set()))


def _why(instance: dg.DagsterInstance, run_id: str) -> str:
    """What the first step that failed says, else what the run says, in one line."""
    kinds = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE}
    for record in instance.get_records_for_run(run_id, of_type=kinds, limit=1).records:
        event = record.event_log_entry.get_dagster_event()
        if not event.is_step_failure:
            return " ".join((event.message or "").split())
        data = event.step_failure_data
        told = data.user_failure_data.description if data.user_failure_data else None
        return " ".join((told or (data.error.message if data.error else "")).split())
    return "it says nothing"


def check_alarms(
    instance: dg.DagsterInstance, platform: Platform, since: datetime, keys: list[dg.AssetCheckKey]
) -> Iterator[Alert]:
    """Checks whose last evaluation is red, each partition by itself; the next alert comes after one that was not."""
    for key in keys:
        looked = set()
        for record in instance.event_log_storage.get_asset_check_execution_history(key, limit=N_EVALUATIONS):
            found = record.evaluation
            if not isinstance(found, dg.AssetCheckEvaluation):  # planned in a run that never came to it
                continue
            if record.partition in looked or record.create_timestamp < since.timestamp():
                continue
            looked.add(record.partition)
            is_red = not found.passed and found.severity is dg.AssetCheckSeverity.ERROR
            of = f"{key.asset_key.to_user_string()} {key.name} {record.partition or ''}".rstrip()
            yield from episode(platform, "check", f"check {of} failed: {found.description}" if is_red else None, of=of)
