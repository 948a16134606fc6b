"""Whether a job could begin now: the preflight, made on demand."""

import dagster as dg

from resources.config_file import config_path
from resources.platform import PlatformResource
from trajgen_assets.core.preflight.findings import Level, looked_at
from trajgen_assets.core.preflight.run import Line, look, verdict
from trajgen_assets.names import TRAJECTORIES

PREFLIGHT = "preflight"

COLUMNS = [dg.TableColumn(name) for name in ("level", "group", "check", "finding", "mend")]


SPEC = dg.AssetCheckSpec(
    PREFLIGHT,
    asset=TRAJECTORIES,
    description=(
        "Whether a job could begin now: what `trajgen dryrun --no-probe` looks at, on the host that runs it. It "
        "changes nothing and asks no model. It fails if a job would be refused or go wrong, and warns of what somebody "
        "should know."
    ),
)


@dg.op(name=f"{TRAJECTORIES.path[-1]}_{PREFLIGHT}", out=dg.Out(dg.Nothing))
def _preflight_op(platform: PlatformResource) -> dg.AssetCheckResult:
    """All checks that reach out to no model."""
    with looked_at(platform.artifacts_root(), config_path(platform.config)) as subject:
        lines = list(look(subject))
    worst = {line.level for line in lines}
    return dg.AssetCheckResult(
        passed=worst.isdisjoint({Level.FAIL, Level.WARN}),
        severity=dg.AssetCheckSeverity.ERROR if Level.FAIL in worst else dg.AssetCheckSeverity.WARN,
        description=_summary(lines),
        metadata={
            "checks": dg.TableMetadataValue(records=[_record(line) for line in lines], schema=dg.TableSchema(COLUMNS)),
        },
    )


# Made by hand and not by `@dg.asset_check`, whose step waits for the asset: a click on tasks in the web UI plans the
# checks of what it materializes, too, and the rollout yields nothing, so the check would be planned and never made, and
# the web UI would no longer show what it last found. As it is, it looks at the host, whatever became of the tasks.
preflight = dg.AssetChecksDefinition.create(
    keys_by_input_name={},
    node_def=_preflight_op,
    check_specs_by_output_name={"result": SPEC},
    can_subset=False,
)


def _summary(lines: list[Line]) -> str:
    failed = [f"{line.check}: {line.text}" for line in lines if line.level is Level.FAIL]
    if failed:
        return f"{verdict(lines)}: {'; '.join(failed)}"
    n_warnings = sum(line.level is Level.WARN for line in lines)
    return f"ready, {n_warnings} warnings" if n_warnings else "ready"


def _record(line: Line) -> dg.TableRecord:
    return dg.TableRecord(
        {"level": line.level.value, "group": line.group, "check": line.check, "finding": line.text, "mend": line.mend}
    )
