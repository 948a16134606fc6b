"""Links between partitions of different kinds, which Dagster's lineage cannot follow.

A partition mapping of our own would be lost on the way to the web server, which knows Dagster's built-in ones alone;
so a job's events name its tasks, and a task's event names its job.
"""

from collections.abc import Iterable
from urllib.parse import quote

import dagster as dg

from trajgen_assets.core.rollout.trials import TrialEntry
from trajgen_assets.names import TRAJECTORIES


def partition_page(asset: dg.AssetKey, partition: str) -> str:
    """The page of one partition in the web UI, without a host: it is served under whatever name it is reached by."""
    return f"/assets/{'/'.join(asset.path)}?view=partitions&partition={quote(partition, safe='')}"


def task_table(entries: Iterable[TrialEntry]) -> dg.MarkdownMetadataValue:
    """A row for each task of a job, with its last attempt there and a link to its trajectory's page.

    Keys and causes are made of plain characters (`core.keys`, `core.rollout.causes`), so no text of a model or a task
    gets into the markup.
    """
    last = {entry.task_key: entry for entry in entries}
    lines = ["| task | reward | cause |", "|---|---|---|", *map(_row, last.values())]
    return dg.MetadataValue.md("\n".join(lines))


def _row(entry: TrialEntry) -> str:
    page = partition_page(TRAJECTORIES, entry.task_key)
    reward = f"{entry.reward:g}" if entry.accepted and entry.reward is not None else ""
    return f"| [{entry.task_key}]({page}) | {reward} | {entry.cause or ''} |"
