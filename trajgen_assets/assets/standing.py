"""Events with the version of what they are about, so that the same again is no news."""

from typing import Any

import dagster as dg

VERSION_TAG = "dagster/data_version"


def is_news(context: dg.AssetExecutionContext, asset: dg.AssetKey, partition: str, version: str) -> bool:
    """Whether the standing event of a partition is about another version, or there is none."""
    wanted = dg.AssetRecordsFilter(asset_key=asset, asset_partitions=[partition])
    found = context.instance.fetch_materializations(wanted, limit=1).records
    event = found[0].asset_materialization if found else None
    return event is None or (event.tags or {}).get(VERSION_TAG) != version


def log_version(
    context: dg.AssetExecutionContext, asset: dg.AssetKey, partition: str, version: str, metadata: dict[str, Any]
) -> None:
    """Log that a partition was made, and in which version."""
    tags = {VERSION_TAG: version}
    context.log_event(dg.AssetMaterialization(asset, partition=partition, metadata=metadata, tags=tags))
