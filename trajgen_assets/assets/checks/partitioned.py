"""Checks whose results are of one partition each.

The web UI of Dagster 1.13 starts no check of theirs alone; *Execute all* starts one run of all checks of an asset, and
names no partition. That run is then about every partition that is materialized.
"""

import warnings
from collections import defaultdict
from collections.abc import Sequence

import dagster as dg

from trajgen_assets.core.counting import count_of

# The words of a check over many partitions tell of so many that did not pass; each has its own result.
N_TOLD = 10


def partition_check(
    name: str,
    asset: dg.AssetKey,
    description: str,
    partitions: dg.PartitionsDefinition[str],
    *,
    blocking: bool,
) -> dg.AssetCheckSpec:
    """What an asset declares. That a check has partitions is a preview in Dagster; a test of ours holds it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return dg.AssetCheckSpec(
            name, asset=asset, description=description, blocking=blocking, partitions_def=partitions
        )


def partitions_of(context: dg.AssetExecutionContext) -> Sequence[str]:
    """The partitions that a run is about; where it names none, all that its checks can be of."""
    if context.has_partition_key or context.has_partition_key_range:
        return list(context.partition_keys)
    storage = context.instance.event_log_storage
    assets = {key.asset_key for key in context.selected_asset_check_keys}
    found: set[str] = set().union(*(storage.get_materialized_partitions(asset) for asset in assets))
    return sorted(found)


def conclude(context: dg.AssetExecutionContext) -> None:
    """Log what each check comes to over all partitions, if the run named none: that is what was planned."""
    if context.has_partition_key or context.has_partition_key_range:
        return
    entries = context.instance.all_logs(context.run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    events = [entry.dagster_event for entry in entries if entry.dagster_event is not None]
    found: dict[dg.AssetCheckKey, list[dg.AssetCheckEvaluation]] = defaultdict(list)
    for each in (event.asset_check_evaluation_data for event in events):
        found[each.asset_check_key].append(each)
    for key in sorted(context.selected_asset_check_keys):
        context.log_event(_conclusion(key, found[key]))


def _conclusion(key: dg.AssetCheckKey, found: Sequence[dg.AssetCheckEvaluation]) -> dg.AssetCheckEvaluation:
    failed = [each for each in found if not each.passed]
    is_grave = any(each.severity is dg.AssetCheckSeverity.ERROR for each in failed)
    looked = f"{count_of(len(found), 'partition')} looked at"
    return dg.AssetCheckEvaluation(
        key.asset_key,
        key.name,
        passed=not failed,
        severity=dg.AssetCheckSeverity.ERROR if is_grave or not failed else dg.AssetCheckSeverity.WARN,
        description="; ".join([looked, *(f"{each.partition}: {each.description}" for each in failed[:N_TOLD])]),
        metadata={"partitions": len(found), "failed": len(failed)},
    )
