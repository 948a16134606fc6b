"""Checks whose results are of one partition each."""

import warnings

import dagster as dg


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
