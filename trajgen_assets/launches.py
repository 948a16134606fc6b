"""How a job of the ledger becomes a Dagster run, and how one tells that it never will."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import dagster as dg
from dagster._core.launcher import WorkerStatus

from trajgen_assets.core.ledger.models import AskedBy, JobRow
from trajgen_assets.core.process import ProcessId, process_space
from trajgen_assets.core.rollout.worker import WorkerDemand
from trajgen_assets.partitions import positions_of

RANGE_START_TAG = "dagster/asset_partition_range_start"
RANGE_END_TAG = "dagster/asset_partition_range_end"
RUN_KEY_TAG = "dagster/run_key"
KUBERNETES_TAG = "dagster-k8s/config"

# A run that was asked for and is nowhere after this long will not come: whoever asked died before Dagster had it.
# The daemon makes the runs of a tick within seconds of its end.
LOST_AFTER_S = 60.0


@dataclass(frozen=True)
class Launch:
    """How to ask Dagster for one batch: either a range by tags, or its first key alone."""

    partition_key: str | None
    tags: dict[str, str]


def launch_of(instance: dg.DagsterInstance, keys: Sequence[str]) -> Launch:
    """Choose the form of launch for a batch of task partitions.

    A batch that is contiguous in order of insertion is a range: the UI then shows each of its tasks as
    planned, running, done or failed. Any other batch is launched under its first key, with all its keys in
    the ledger; a range over it would take in every task between.
    """
    position = positions_of(instance, keys)
    numbers = sorted(position.values())
    contiguous = numbers == list(range(numbers[0], numbers[0] + len(keys)))
    if len(keys) > 1 and contiguous:
        ordered = sorted(keys, key=lambda key: position[key])
        return Launch(None, {RANGE_START_TAG: ordered[0], RANGE_END_TAG: ordered[-1]})
    return Launch(keys[0], {})


def run_config(op: str, **values: Any) -> dict[str, Any]:
    """Run configuration for the multi-asset `op`."""
    return {"ops": {op: {"config": values}}}


def demand_tags(instance: dg.DagsterInstance, n_at_once: int) -> dict[str, str]:
    """What a launcher of pods reads memory and CPU of a run from; nothing for another launcher."""
    if type(instance.run_launcher).__name__ != "K8sRunLauncher":  # by name: its package is an extra
        return {}
    resources = WorkerDemand.of_trials(n_at_once).as_kubernetes()
    return {KUBERNETES_TAG: json.dumps({"container_config": {"resources": resources}})}


def run_key(job: JobRow) -> str:
    """The key under which Dagster starts this launch of a job at most once."""
    return f"{job.name}:{job.launch}"


def is_lost(instance: dg.DagsterInstance, job: JobRow, now: datetime) -> bool:
    """Whether an assigned job has no run, and no command, that could still start it, at `now`."""
    if job.owner is not None and (command := command_of(job.owner)) is not None:
        return command.find() is None
    if job.requested_at is None:
        returned = job.launch > 1  # the run of its last launch could not start it
        of_a_dead_tick = job.asked_by is AskedBy.SENSOR  # ticks take turns, and one that lives asks for what it assigns
        return returned or of_a_dead_tick or (now - job.assigned_at).total_seconds() > LOST_AFTER_S
    run = _run_of(instance, job)
    if run is None:
        return (now - job.requested_at).total_seconds() > LOST_AFTER_S
    return run.is_finished or _worker_is_gone(instance, run)


def this_process() -> str:
    """How a command is called in the ledger as the owner of a job it has assigned: where it is, its id, its start."""
    process = ProcessId.of(os.getpid())
    return f"{process_space()} {process.pid} {process.started_at}"


def command_of(owner: str) -> ProcessId | None:
    """The process that `this_process` named, if one can tell from here whether it lives."""
    space, _, process = owner.partition(" ")
    pid, _, started_at = process.partition(" ")
    return ProcessId(int(pid), float(started_at)) if space == process_space() and started_at else None


def is_cancelled(instance: dg.DagsterInstance, job: JobRow) -> bool:
    """Whether somebody cancelled the run of an assigned job before it began."""
    run = _run_of(instance, job) if job.requested_at is not None else None
    return run is not None and run.status is dg.DagsterRunStatus.CANCELED


def _run_of(instance: dg.DagsterInstance, job: JobRow) -> dg.DagsterRun | None:
    if job.run_id is not None:
        return instance.get_run_by_id(job.run_id)
    runs = instance.get_runs(dg.RunsFilter(tags={RUN_KEY_TAG: run_key(job)}), limit=1)
    return runs[0] if runs else None


def _worker_is_gone(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    if run.status is not dg.DagsterRunStatus.STARTED:
        return False
    return instance.run_launcher.check_run_worker_health(run).status is WorkerStatus.NOT_FOUND
