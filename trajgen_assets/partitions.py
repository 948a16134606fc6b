"""The two partitions definitions, their key rules, and how a batch of tasks becomes one Dagster run.

Partitions are added and never deleted: a range of them means "all keys between, in order of insertion".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from trajgen_assets.core.ledger.ledger import Ledger

TASKS = "tasks"
JOBS = "jobs"

# The Dagster jobs over each of them, and the multi-asset that each consists of.
ROLLOUT_JOB, ROLLOUT_OP = "rollout_job", "rollout"
DATA_JOB = "data_job"

task_partitions = dg.DynamicPartitionsDefinition(name=TASKS)
job_partitions = dg.DynamicPartitionsDefinition(name=JOBS)

RANGE_START_TAG = "dagster/asset_partition_range_start"
RANGE_END_TAG = "dagster/asset_partition_range_end"

# One call looks its keys up in a single SQL statement; stock SQLite takes 32,766 variables.
MAX_KEYS_PER_CALL = 20_000


# A selection of more partitions in the UI becomes several runs of this many: one Harbor process each.
MAX_TASKS_PER_RUN = 32


@dataclass(frozen=True)
class Launch:
    """How to ask Dagster for one batch: either a range by tags, or its first key alone."""

    partition_key: str | None
    tags: dict[str, str]


def add_partitions(instance: dg.DagsterInstance, name: str, keys: Sequence[str]) -> None:
    """Add the `keys` that are not there yet; safe to repeat after a crash."""
    for start in range(0, len(keys), MAX_KEYS_PER_CALL):
        instance.add_dynamic_partitions(name, list(keys[start : start + MAX_KEYS_PER_CALL]))


def show_new_partitions(instance: dg.DagsterInstance, ledger: Ledger) -> None:
    """Make every eligible task a partition; the ledger is told only after Dagster has it."""
    while rows := ledger.partitions_to_add(MAX_KEYS_PER_CALL):
        add_partitions(instance, TASKS, [row.key.partition for row in rows])
        ledger.mark_partitioned(rows)


def launch_of(instance: dg.DagsterInstance, keys: Sequence[str]) -> Launch:
    """Choose the form of launch for a batch of task partitions.

    A batch that is contiguous in order of insertion is a range: the UI then shows each of its tasks as
    planned, running, done or failed. Any other batch is launched under its first key, with all its keys in
    the ledger; a range over it would take in every task between.
    """
    position = {key: n for n, key in enumerate(instance.get_dynamic_partitions(TASKS))}
    numbers = sorted(position[key] for key in keys)
    contiguous = numbers == list(range(numbers[0], numbers[0] + len(keys)))
    if len(keys) > 1 and contiguous:
        ordered = sorted(keys, key=lambda key: position[key])
        return Launch(None, {RANGE_START_TAG: ordered[0], RANGE_END_TAG: ordered[-1]})
    return Launch(keys[0], {})


def run_config(op: str, **values: Any) -> dict[str, Any]:
    """Run configuration for the multi-asset `op`."""
    return {"ops": {op: {"config": values}}}


def data_assets(*, convert: bool) -> list[dg.AssetKey]:
    """What a job that is over gives: its result, and where conversion is switched on its training data."""
    names = ["job_result", "sft_im", "sft_lf"] if convert else ["job_result"]
    return [dg.AssetKey(name) for name in names]
