"""A code location that throws every secret it knows at Dagster, in each way in which Dagster stores what was thrown."""

import warnings

import dagster as dg

from resources.platform import PlatformResource
from tests.canaries import all_spellings

warnings.filterwarnings("ignore", category=dg.BetaWarning)


class UpstreamError(Exception):
    """As client libraries throw them: with fields of their own."""

    def __init__(self, message: str) -> None:
        super().__init__(message, {"body": message})
        self.message = message


def throw_with_a_cause() -> None:
    """Raise an error whose cause and whose context quote the secrets too."""
    try:
        try:
            raise KeyError(all_spellings())
        except KeyError as inner:
            raise UpstreamError(f"upstream said {all_spellings()}") from inner
    except UpstreamError:
        raise ValueError(f"while handling {all_spellings()}")  # noqa: B904  as context, not as cause


@dg.failure_hook
def throwing_hook(context: dg.HookContext) -> None:
    raise RuntimeError(all_spellings())


@dg.op
def throws(context: dg.OpExecutionContext) -> None:
    context.log.info(all_spellings())
    throw_with_a_cause()


@dg.op
def fails_with_metadata() -> None:
    raise dg.Failure(all_spellings(), metadata={"said": all_spellings(), "json": {"said": [all_spellings()]}})


@dg.resource
def broken_resource() -> None:
    throw_with_a_cause()


@dg.op(required_resource_keys={"broken"})
def never_starts() -> None: ...


@dg.job(hooks={throwing_hook}, executor_def=dg.in_process_executor, resource_defs={"broken": broken_resource})
def resource_job() -> None:
    never_starts()


@dg.job(hooks={throwing_hook}, executor_def=dg.in_process_executor)
def throwing_job() -> None:
    throws()
    fails_with_metadata()


@dg.asset
def quoting_asset(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    context.log_event(dg.AssetObservation("quoting_asset", metadata={"said": all_spellings()}))
    return dg.MaterializeResult(metadata={"said": dg.MetadataValue.md(all_spellings())})


@dg.asset_check(asset=quoting_asset)
def throwing_check() -> dg.AssetCheckResult:
    raise RuntimeError(all_spellings())


@dg.sensor(job=throwing_job, default_status=dg.DefaultSensorStatus.RUNNING, minimum_interval_seconds=1)
def throwing_sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    context.log.error(all_spellings())
    throw_with_a_cause()
    return dg.SkipReason("never")


@dg.sensor(job=throwing_job, default_status=dg.DefaultSensorStatus.RUNNING, minimum_interval_seconds=1)
def skipping_sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    context.log.warning(all_spellings())
    return dg.SkipReason(all_spellings())


@dg.sensor(job=throwing_job, default_status=dg.DefaultSensorStatus.RUNNING, minimum_interval_seconds=1)
def platform_sensor(platform: PlatformResource) -> dg.SkipReason:
    with platform.opened():
        throw_with_a_cause()
    return dg.SkipReason("never")


defs = dg.Definitions(
    assets=[quoting_asset],
    asset_checks=[throwing_check],
    jobs=[throwing_job, resource_job],
    sensors=[throwing_sensor, skipping_sensor, platform_sensor],
    resources={"platform": PlatformResource()},
    executor=dg.in_process_executor,
)
