"""Links between partitions of different kinds, which Dagster's lineage cannot follow.

A partition mapping of our own would be lost on the way to the web server, which knows Dagster's built-in ones alone;
so a job's events name its tasks, and a task's event names its job.
"""

from collections.abc import Iterable
from urllib.parse import quote

import dagster as dg

from trajgen_assets.core.ledger.models import TaskRow
from trajgen_assets.core.rollout.trials import TrialEntry
from trajgen_assets.names import TRAJECTORIES


def partition_page(asset: dg.AssetKey, partition: str) -> str:
    """The page of one partition in the web UI, without a host: it is served under whatever name it is reached by."""
    return f"/assets/{'/'.join(asset.path)}?view=partitions&partition={quote(partition, safe='')}"


def task_table(rows: Iterable[TaskRow], entries: Iterable[TrialEntry]) -> dg.MarkdownMetadataValue:
    """A row for each task of a job: its reward, or why it has none from this job, and a link to its trajectory's page.

    Keys and causes are made of plain characters (`core.keys`, `core.rollout.causes`), and a key stands as code: nothing
    of a model or a task is read as markup.
    """
    last = {entry.task_key: entry for entry in entries}
    lines = ["| task | reward | cause |", "|---|---|---|"]
    lines += [_row(key, last.get(key)) for key in (row.key.partition for row in rows)]
    return dg.MetadataValue.md("\n".join(lines))


def _row(key: str, entry: TrialEntry | None) -> str:
    reward = f"{entry.reward:g}" if entry and entry.accepted and entry.reward is not None else ""
    return f"| [`{key}`]({partition_page(TRAJECTORIES, key)}) | {reward} | {_cause(entry)} |"


def _cause(entry: TrialEntry | None) -> str:
    if entry is None:
        return "no trial"
    return entry.cause or ("" if entry.accepted else "superseded")
