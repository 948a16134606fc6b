"""The two partitions definitions and their key rules.

Partitions are added and never deleted: a range of them means "all keys between, in order of insertion".
"""

from collections.abc import Sequence

import dagster as dg

from trajgen_assets.core.config import Config
from trajgen_assets.core.keys import SMOKE_CAMPAIGN
from trajgen_assets.core.ledger.ledger import Ledger

TASKS = "tasks"
JOBS = "jobs"

# The Dagster jobs over each of them, and the multi-asset that each consists of.
ROLLOUT_JOB, ROLLOUT_OP = "rollout_job", "rollout"
DATA_JOB = "data_job"

# The external asset that stands for the manifests, upstream of everything.
VERIFIED_TASKS = dg.AssetKey(["swegen", "verified_tasks"])

task_partitions = dg.DynamicPartitionsDefinition(name=TASKS)
job_partitions = dg.DynamicPartitionsDefinition(name=JOBS)

# One call looks its keys up in a single SQL statement; stock SQLite takes 32,766 variables.
MAX_KEYS_PER_CALL = 20_000


# A selection of more partitions in the UI becomes several runs of this many: one Harbor process each.
MAX_TASKS_PER_RUN = 32


def add_partitions(instance: dg.DagsterInstance, name: str, keys: Sequence[str]) -> None:
    """Add the `keys` that are not there yet; safe to repeat after a crash."""
    for start in range(0, len(keys), MAX_KEYS_PER_CALL):
        instance.add_dynamic_partitions(name, list(keys[start : start + MAX_KEYS_PER_CALL]))


def show_new_partitions(instance: dg.DagsterInstance, ledger: Ledger) -> None:
    """Make every eligible task a partition; the ledger is told only after Dagster has it."""
    while rows := ledger.partitions_to_add(MAX_KEYS_PER_CALL):
        add_partitions(instance, TASKS, [row.key.partition for row in rows])
        ledger.mark_partitioned(rows)


def is_converted(config: Config, campaign: str) -> bool:
    """Whether jobs of a campaign become training data by themselves: a smoke test counts towards nothing."""
    return config.runtime_info.input.sft_conversion.enabled and campaign != SMOKE_CAMPAIGN


def data_assets(*, convert: bool) -> list[dg.AssetKey]:
    """What a job that is over gives: its result, and where conversion is switched on its training data."""
    names = ["job_result", "sft_im", "sft_lf"] if convert else ["job_result"]
    return [dg.AssetKey(name) for name in names]
