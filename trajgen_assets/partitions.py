"""The three partitions definitions and their key rules.

Partitions are added and never deleted: a range of them means "all keys between, in order of insertion".
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import dagster as dg
import sqlalchemy as sa
from dagster._core.storage.event_log.schema import DynamicPartitionsTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage

from trajgen_assets.core.config import Config
from trajgen_assets.core.errors import ConversionError
from trajgen_assets.core.keys import SMOKE_CAMPAIGN
from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.ledger.rows import chunked
from trajgen_assets.core.paths import Root
from trajgen_assets.core.rollout.trials import load_trials
from trajgen_assets.core.sft.scaffolds import is_training_data
from trajgen_assets.names import DATA_SETS, JOB_RESULT, JOBS, SFT_IM, SFT_LF, TASKS, TRAJECTORIES

task_partitions = dg.DynamicPartitionsDefinition(name=TASKS)
job_partitions = dg.DynamicPartitionsDefinition(name=JOBS)
data_set_partitions = dg.DynamicPartitionsDefinition(name=DATA_SETS)

# One call looks its keys up in a single SQL statement; stock SQLite takes 32,766 variables.
MAX_KEYS_PER_CALL = 20_000

# How often an addition is tried again that another process was faster with: each time it has added all of its own.
N_RACES = 10

# A selection of more partitions in the UI becomes several runs of this many: one Harbor process each.
MAX_TASKS_PER_RUN = 32


def add_partitions(instance: dg.DagsterInstance, name: str, keys: Sequence[str]) -> None:
    """Add the `keys` that are not there yet; safe to repeat after a crash."""
    for start in range(0, len(keys), MAX_KEYS_PER_CALL):
        _add(instance, name, list(keys[start : start + MAX_KEYS_PER_CALL]))


def _add(instance: dg.DagsterInstance, name: str, keys: list[str]) -> None:
    """Dagster looks which keys are missing and then inserts them: whoever inserts one in between fails its insertion.

    Nothing of it has been stored then, and what the other has added is there at the next look.
    """
    for n_left in reversed(range(N_RACES)):
        try:
            instance.add_dynamic_partitions(name, keys)
        except sa.exc.IntegrityError:
            if not n_left:
                raise
        else:
            return


def positions_of(instance: dg.DagsterInstance, keys: Sequence[str]) -> dict[str, int]:
    """A number for each of some task partitions, in order of insertion: consecutive only if no other lies between them.

    One that is no partition yet becomes one: an instance that was lost and made anew does not know them.
    """
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        add_partitions(instance, TASKS, keys)
        all_keys = {key: n for n, key in enumerate(instance.get_dynamic_partitions(TASKS))}
        return {key: all_keys[key] for key in keys}
    found = _positions_in(storage, keys)
    if found is None:
        add_partitions(instance, TASKS, keys)
        found = _positions_in(storage, keys)
    return found or {}


def _positions_in(storage: SqlEventLogStorage, keys: Sequence[str]) -> dict[str, int] | None:
    """As `positions_of`, from Dagster's own table; None if one of them is not there.

    Dagster's own question reads all partitions: a hundred thousand take a quarter of a second, for each batch.
    """
    table = DynamicPartitionsTable.c
    is_task = table.partitions_def_name == TASKS
    rows: dict[str, int] = {}
    with storage.index_connection() as conn:
        for chunk in chunked(keys):
            query = sa.select(table.partition, table.id).where(is_task, table.partition.in_(chunk))
            rows |= dict(tuple(row) for row in conn.execute(query))
        if rows.keys() != set(keys):
            return None
        first, last = min(rows.values()), max(rows.values())
        n_from_first_to_last = conn.scalar(sa.select(sa.func.count()).where(is_task, table.id.between(first, last)))
    if n_from_first_to_last != len(rows):
        return rows  # with others between them these ids cannot be consecutive
    return {key: n for n, key in enumerate(sorted(rows, key=lambda key: rows[key]))}


def show_new_partitions(instance: dg.DagsterInstance, ledger: Ledger) -> None:
    """Make every eligible task a partition; the ledger is told only after Dagster has it."""
    while rows := ledger.partitions_to_add(MAX_KEYS_PER_CALL):
        add_partitions(instance, TASKS, [row.key.partition for row in rows])
        ledger.mark_partitioned(rows)


def show_settled_trials(instance: dg.DagsterInstance, root: Root, jobs: Iterable[str]) -> None:
    """Report the accepted trials of settled jobs that Dagster does not show: whoever drove the job died before."""
    files = [trials for trials in (root.job(job).trials for job in jobs) if trials.exists()]
    shown = instance.event_log_storage.get_materialized_partitions(TRAJECTORIES) if files else set()
    for listed in map(load_trials, files):
        for entry in listed.trials:
            if entry.accepted and entry.task_key not in shown:
                metadata = {
                    "reward": entry.reward,
                    "capture": entry.capture,
                    "trial": f"{listed.job}/{entry.trial_name}",
                }
                event = dg.AssetMaterialization(TRAJECTORIES, partition=entry.task_key, metadata=metadata)
                instance.report_runless_asset_event(event)


def is_converted(config: Config, campaign: str, trials: Path) -> bool:
    """Whether a job becomes training data by itself: of a smoke test or a host check never.

    What the job was rolled out with is read from its own `trials`; the configuration may have changed since.
    """
    if not config.runtime_info.input.sft_conversion.enabled or campaign == SMOKE_CAMPAIGN:
        return False
    try:
        return is_training_data(load_trials(trials).scaffold)
    except ConversionError:  # the run that makes the data says what is wrong with it
        return True


def data_assets(*, convert: bool) -> list[dg.AssetKey]:
    """What a job that is over gives: its result, and where conversion is switched on its training data."""
    return [JOB_RESULT, SFT_IM, SFT_LF] if convert else [JOB_RESULT]
