"""Where ledger and Dagster differ, and how Dagster is brought in line: the ledger is the truth, never the reverse."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from trajgen_assets.core.errors import ConversionError, LedgerError, TaskError
from trajgen_assets.core.keys import TaskKey
from trajgen_assets.core.ledger.comparing import once_graded
from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.ledger.models import JobRow, JobState, TaskRow, TaskStatus
from trajgen_assets.core.paths import Root
from trajgen_assets.core.report.differences import FIX, Difference, Kind
from trajgen_assets.core.rollout.trials import TrialEntry, load_trials
from trajgen_assets.names import JOB_RESULT, TASKS, TRAJECTORIES
from trajgen_assets.partitions import add_partitions


def differences_in_dagster(instance: dg.DagsterInstance, root: Root, ledger: Ledger) -> Iterator[Difference]:
    """Hold partitions and materializations against the ledger. Changes nothing."""
    partitions = set(instance.get_dynamic_partitions(TASKS))
    materialized = instance.event_log_storage.get_materialized_partitions(TRAJECTORIES)
    running = {job.name for job in ledger.jobs(JobState.RUNNING)}
    done = set()
    for row in ledger.rows():
        partition = row.key.partition
        if row.status is TaskStatus.DONE:
            done.add(partition)
            if partition not in materialized and row.last_job not in running:  # a running job is about to say so itself
                means = "it is done, and Dagster shows no trajectory of it"
                yield Difference(Kind.NO_EVENT, partition, means, FIX, is_fixable=True)
        if row.eligible and partition not in partitions:
            means = "it can be rolled out, and is no partition in Dagster that one could click on"
            yield Difference(Kind.NO_PARTITION, partition, means, f"{FIX}, or the next tick", is_fixable=True)
    yield from _unfounded(ledger, materialized - done)
    yield from _without_data(instance, root, ledger)


def _unfounded(ledger: Ledger, partitions: set[str]) -> Iterator[Difference]:
    """Trajectories that Dagster shows and the ledger never accepted. A result that was superseded stays shown."""
    superseded = {key.partition for key in once_graded(ledger)}
    for partition in sorted(partitions - superseded):
        try:
            row = ledger.task(TaskKey.parse(partition))
        except (LedgerError, TaskError):
            means = "Dagster shows a trajectory of a task that the ledger does not know"
        else:
            means = (
                f"Dagster shows a trajectory of it, and in the ledger it is {row.status.value} and never had a result"
            )
        mend = "if its trial lies under jobs/, `trajgen ledger import` takes it over; else the next rollout replaces it"
        yield Difference(Kind.UNFOUNDED_EVENT, partition, means, mend)


def _without_data(instance: dg.DagsterInstance, root: Root, ledger: Ledger) -> Iterator[Difference]:
    for job in jobs_without_data(instance, root, ledger):
        means = "the job is over, and its result or its training data was not made"
        mend = f"{FIX}; while the daemon runs, the sensor finished_jobs does it"
        yield Difference(Kind.NO_DATA, job.name, means, mend, is_fixable=True)


def jobs_without_data(instance: dg.DagsterInstance, root: Root, ledger: Ledger) -> list[JobRow]:
    """Jobs that are over and have trials, of which nothing was made or Dagster shows nothing."""
    shown = instance.event_log_storage.get_materialized_partitions(JOB_RESULT)
    stale = {job.name for job in ledger.jobs_needing_downstream()}
    removed = {each.job for each in ledger.removals()}
    over = [job for job in ledger.jobs() if job.state.is_over and job.accepted_digest is not None]
    over = [job for job in over if job.name not in removed]
    return [job for job in over if root.job(job.name).trials.exists() and (job.name in stale or job.name not in shown)]


def add_missing_partitions(instance: dg.DagsterInstance, ledger: Ledger) -> None:
    """Make every task that can be rolled out a partition, whatever the ledger noted of it."""
    rows = [row for row in ledger.rows() if row.eligible]
    known = set(instance.get_dynamic_partitions(TASKS))
    add_partitions(instance, TASKS, [row.key.partition for row in rows if row.key.partition not in known])
    ledger.mark_partitioned([row for row in rows if not row.partitioned])


def report_missing_events(instance: dg.DagsterInstance, root: Root, ledger: Ledger) -> None:
    """Report a trajectory, without a run, for each task that is done and shows none."""
    shown = instance.event_log_storage.get_materialized_partitions(TRAJECTORIES)
    running = {job.name for job in ledger.jobs(JobState.RUNNING)}
    done = [row for row in ledger.rows() if row.status is TaskStatus.DONE and row.last_job not in running]
    rows = [row for row in done if row.key.partition not in shown]
    add_partitions(instance, TASKS, [row.key.partition for row in rows])
    entries = _entries_of(root, {row.last_job for row in rows if row.last_job})
    for row in rows:
        entry = entries.get((row.key.partition, row.trajectory_path or ""))
        metadata = _metadata(row, entry)
        event = dg.AssetMaterialization(TRAJECTORIES, partition=row.key.partition, metadata=metadata)
        instance.report_runless_asset_event(event)


def _entries_of(root: Root, jobs: set[str]) -> dict[tuple[str, str], TrialEntry]:
    """The accepted trials of these jobs, by partition and trajectory, as far as their `trials.json` can be read."""
    found: dict[tuple[str, str], TrialEntry] = {}
    for job in jobs:
        try:
            listed = load_trials(root.job(job).trials).trials
        except ConversionError:  # of the earlier system
            continue
        found |= {(each.task_key, f"jobs/{job}/{each.trajectory}"): each for each in listed if each.accepted}
    return found


def _metadata(row: TaskRow, entry: TrialEntry | None) -> dict[str, Any]:
    if entry is not None and row.last_job is not None:
        from trajgen_assets.assets.rollouts import trajectory_metadata  # 2 s of imports, only where they are needed

        return trajectory_metadata(row.last_job, entry)
    known = {"reward": row.reward, "path": row.trajectory_path, "job": row.last_job, "note": row.note}
    return {name: value for name, value in known.items() if value is not None} | {"imported": row.imported}
