"""Checks of what lies on this host, whatever is materialized: a step of their own that waits for nothing."""

from collections.abc import Sequence

import dagster as dg

from resources.config_file import config_path
from resources.platform import PlatformResource
from trajgen_assets.core.preflight import machine, staged, state, tasks
from trajgen_assets.core.preflight.findings import Level, looked_at
from trajgen_assets.core.preflight.run import CHECKS, Check, Line, look
from trajgen_assets.names import JOB_RESULT, PREPARED_TASKS, TRAJECTORIES, VERIFIED_TASKS

PREFLIGHT = "preflight"
MANIFEST = "manifest_within_its_folders"
STAGED = "staged_digests_hold"
LEDGER = "ledger_balances"
DISK = "disk_is_left"

COLUMNS = [
    dg.TableColumn("level", description="ok, warn, fail, or skip where something else kept it from being looked at."),
    dg.TableColumn("group", description="What it belongs to."),
    dg.TableColumn("check", description="What was looked at."),
    dg.TableColumn("finding", description="What was found."),
    dg.TableColumn("mend", description="What to do about it."),
]


def host_checks() -> list[dg.AssetChecksDefinition]:
    """All of them, in the order of flow."""
    return [
        _host_check(
            MANIFEST,
            VERIFIED_TASKS,
            [Check("tasks", "manifest", tasks.manifests)],
            "Whether each manifest can be read, and each id that it lists has a complete folder beside it. It fails if "
            "a manifest cannot be read or none of its tasks can be used, and warns of single ones that have to wait.",
        ),
        _host_check(
            STAGED,
            PREPARED_TASKS,
            [Check("tasks", "staged", staged.staged_digests)],
            "Whether each staged task is still what the ledger has recorded of it; of very many, those that can be "
            "read in half a minute, others at each look. It fails if one that was rolled out was changed since, and "
            "warns of pending ones, which are staged again before their trials.",
        ),
        _host_check(
            PREFLIGHT,
            TRAJECTORIES,
            CHECKS,
            "Whether a job could begin now: what `trajgen dryrun --no-probe` looks at, on the host that runs it. It "
            "changes nothing and asks no model. It fails if a job would be refused or go wrong, and warns of what "
            "somebody should know.",
        ),
        _host_check(
            LEDGER,
            JOB_RESULT,
            [Check("root", "ledger", state.ledger)],
            "Whether the ledger is whole and adds up: every registered task stands in one place, has the attempts that "
            "are counted, and one accepted attempt if it is done. Made with each job's result. It fails otherwise: put "
            "back a copy before anything else is rolled out.",
        ),
        _host_check(
            DISK,
            JOB_RESULT,
            [Check("machine", "disk", machine.root_disk)],
            "Whether room is left for the next job's trajectories. Made with each job's result. It fails below "
            "`harbor_job.min_free_gb`, where no trial begins, and warns below 1 GB.",
        ),
    ]


def _host_check(name: str, asset: dg.AssetKey, checks: Sequence[Check], description: str) -> dg.AssetChecksDefinition:
    """One check in the web UI, made of one or many lines of the preflight.

    Made by hand and not by `@dg.asset_check`, whose step waits for the asset: a click on tasks in the web UI plans the
    checks of what it materializes, too, and the rollout yields nothing, so the check would be planned and never made,
    and the web UI would no longer show what it last found. As it is, it looks at the host, whatever became of them.
    """

    @dg.op(name=f"{asset.path[-1]}_{name}", out=dg.Out(dg.Nothing))
    def look_at_host(platform: PlatformResource) -> dg.AssetCheckResult:
        with looked_at(platform.artifacts_root(), config_path(platform.config)) as subject:
            return result_of(list(look(subject, checks)))

    made: dg.AssetChecksDefinition = dg.AssetChecksDefinition.create(
        keys_by_input_name={},
        node_def=look_at_host,
        check_specs_by_output_name={"result": dg.AssetCheckSpec(name, asset=asset, description=description)},
        can_subset=False,
    )
    return made


def result_of(lines: Sequence[Line]) -> dg.AssetCheckResult:
    """What the lines come to: the worst of them decides."""
    worst = {line.level for line in lines}
    return dg.AssetCheckResult(
        passed=worst.isdisjoint({Level.FAIL, Level.WARN}),
        severity=dg.AssetCheckSeverity.ERROR if Level.FAIL in worst else dg.AssetCheckSeverity.WARN,
        description=_summary(lines),
        metadata={
            "checks": dg.TableMetadataValue(records=[_record(line) for line in lines], schema=dg.TableSchema(COLUMNS)),
        },
    )


def _summary(lines: Sequence[Line]) -> str:
    """The failures, else the warnings, else what was found; of many lines only their number."""
    for level in (Level.FAIL, Level.WARN, Level.SKIP, Level.OK):
        found = [f"{line.check}: {line.text}" for line in lines if line.level is level]
        if found:
            return "; ".join(found) if level is Level.FAIL or len(found) <= 3 else f"{len(found)} lines are {level}"
    return "nothing to look at"


def _record(line: Line) -> dg.TableRecord:
    return dg.TableRecord(
        {"level": line.level.value, "group": line.group, "check": line.check, "finding": line.text, "mend": line.mend}
    )
