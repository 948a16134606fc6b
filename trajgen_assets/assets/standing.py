"""Events with the version of what they are about and of what it was made from, so that the same again is no news.

Dagster tags the events of what a step yields by itself. Ours are logged as things happen, so they are tagged here, by
the same names: without them it compares times, and whatever is upstream and was looked at later makes all look old.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationTargetMaterializationData
from dagster._core.definitions.data_version import (
    CODE_VERSION_TAG,
    DATA_VERSION_IS_USER_PROVIDED_TAG,
    DATA_VERSION_TAG,
    NULL_EVENT_POINTER,
    get_input_data_version_tag,
    get_input_event_pointer_tag,
)

# Dagster takes the tags of inputs for a record of provenance only beside a code version; our partitions have none.
NO_CODE_VERSION = "none"


@dataclass(frozen=True)
class Input:
    """What a partition was made from.

    Attributes:
        storage_id: of the event that said so; an upstream that has partitions is looked at from there on.
    """

    asset: dg.AssetKey
    version: str
    storage_id: int | None = None


def is_news(instance: dg.DagsterInstance, asset: dg.AssetKey, partition: str | None, version: str) -> bool:
    """Whether the standing event of an asset or of its partition is about another version, or there is none."""
    found = standing_input(instance, asset, partition)
    return found is None or found.version != version


def standing_input(instance: dg.DagsterInstance, asset: dg.AssetKey, partition: str | None) -> Input | None:
    """The standing event of an asset or of its partition, as that from which something is made."""
    wanted = dg.AssetRecordsFilter(asset_key=asset, asset_partitions=None if partition is None else [partition])
    found = instance.fetch_materializations(wanted, limit=1).records
    event = found[0].asset_materialization if found else None
    return Input(asset, (event.tags or {}).get(DATA_VERSION_TAG, ""), found[0].storage_id) if event else None


def target_of(
    instance: dg.DagsterInstance, asset: dg.AssetKey, partition: str
) -> AssetCheckEvaluationTargetMaterializationData | None:
    """The standing event of a partition, as that which a check has looked at."""
    wanted = dg.AssetRecordsFilter(asset_key=asset, asset_partitions=[partition])
    found = instance.fetch_materializations(wanted, limit=1).records
    if not found:
        return None
    event = found[0]
    return AssetCheckEvaluationTargetMaterializationData(
        storage_id=event.storage_id, run_id=event.run_id, timestamp=event.timestamp
    )


def log_version(
    context: dg.AssetExecutionContext,
    asset: dg.AssetKey,
    partition: str,
    version: str,
    metadata: dict[str, Any],
    made_from: Iterable[Input] = (),
) -> None:
    """Log that a partition was made, in which version, and from which versions of what."""
    tags = {DATA_VERSION_TAG: version} | provenance_tags(made_from)
    context.log_event(dg.AssetMaterialization(asset, partition=partition, metadata=metadata, tags=tags))


def provenance_tags(made_from: Iterable[Input]) -> dict[str, str]:
    """The tags by which Dagster tells whether something was made from what stands upstream now."""
    tags: dict[str, str] = {}
    for each in made_from:
        pointer = NULL_EVENT_POINTER if each.storage_id is None else str(each.storage_id)
        tags[get_input_data_version_tag(each.asset)] = each.version
        tags[get_input_event_pointer_tag(each.asset)] = pointer
    return {CODE_VERSION_TAG: NO_CODE_VERSION, **tags} if tags else {}


def provenance_of_root(version: str, code_version: str) -> dict[str, str]:
    """The tags of something that has a code version, and nothing upstream."""
    return {DATA_VERSION_TAG: version, CODE_VERSION_TAG: code_version, DATA_VERSION_IS_USER_PROVIDED_TAG: "true"}
