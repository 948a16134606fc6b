"""What the web UI calls out of date, asked of the class that it asks."""

import dagster as dg
from dagster._core.definitions.data_version import CachingStaleStatusResolver
from dagster._core.loader import LoadingContextForTest

from trajgen_assets.definitions import defs


def stale_reasons(instance: dg.DagsterInstance, asset: dg.AssetKey, partition: str | None = None) -> list[str]:
    """Why an asset or its partition is out of date; empty if it is not."""
    graph = defs().get_repository_def().asset_graph
    resolver = CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance))
    return [f"{cause.dependency_asset_key}: {cause.reason}" for cause in resolver.get_stale_causes(asset, partition)]


def n_events(instance: dg.DagsterInstance, asset: dg.AssetKey) -> int:
    """How many materializations of an asset there are."""
    return len(instance.fetch_materializations(dg.AssetRecordsFilter(asset_key=asset), limit=100).records)
