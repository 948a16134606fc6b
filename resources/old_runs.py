"""Dagster's runs that are over and that nothing shown rests on: they and their events may go.

What Dagster shows of a partition is its newest event, and a run that is deleted takes its events along: measured, the
partition of a deleted run is no longer materialized. So a run stays while any asset or partition that it was about has
no newer materialization of another run.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster import DagsterEventType as Event

OF_ASSETS = (
    Event.ASSET_MATERIALIZATION_PLANNED,
    Event.ASSET_MATERIALIZATION,
    Event.ASSET_OBSERVATION,
    Event.ASSET_FAILED_TO_MATERIALIZE,
)
OF_CHECKS = (Event.ASSET_CHECK_EVALUATION_PLANNED, Event.ASSET_CHECK_EVALUATION)
OVER = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
PAGE = 500
N_RUNS = 200

JOB_TAG = "trajgen/job"

Target = tuple[dg.AssetKey, str | None]


@dataclass
class Found:
    """Old runs that may go, the oldest last, and why the others stay: reason to number."""

    going: list[str] = field(default_factory=list)
    kept: Counter[str] = field(default_factory=Counter)


def find_old_runs(instance: dg.DagsterInstance, *, older_than: timedelta, is_open: Callable[[str], bool]) -> Found:
    """Look at every run that ended before `older_than`, and change nothing.

    Args:
        is_open: whether the job of this name is not over, so that its run is still asked after.
    """
    found = Found()
    for record in _ended_before(instance, datetime.now(UTC) - older_than):
        run = record.dagster_run
        job = run.tags.get(JOB_TAG)
        if job is not None and is_open(job):
            found.kept["of a job that is not over"] += 1
        elif is_shown(instance, run.run_id):
            found.kept["the newest of an asset or of a partition"] += 1
        else:
            found.going.append(run.run_id)
    return found


def is_shown(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Whether anything that Dagster shows rests on this run: a partition, or the verdict of a check alone."""
    targets = set(_targets(instance, run_id))
    if not targets:
        return any(True for _ in _events(instance, run_id, OF_CHECKS))
    return any(not _is_made_anew(instance, target, run_id) for target in targets)


def _ended_before(instance: dg.DagsterInstance, moment: datetime) -> Iterator[dg.RunRecord]:
    """Pages by the run's place, since none goes while they are read."""
    wanted, cursor = dg.RunsFilter(statuses=OVER, updated_before=moment), None
    while records := instance.get_run_records(wanted, limit=N_RUNS, cursor=cursor):
        yield from records
        cursor = records[-1].dagster_run.run_id


def _targets(instance: dg.DagsterInstance, run_id: str) -> Iterator[Target]:
    """Every asset or partition that a run was to make, made, looked at, or failed to make."""
    for event in _events(instance, run_id, OF_ASSETS):
        if event is not None and event.asset_key is not None:
            yield event.asset_key, event.partition


def _events(instance: dg.DagsterInstance, run_id: str, kinds: tuple[Event, ...]) -> Iterator[dg.DagsterEvent | None]:
    cursor, has_more = None, True
    while has_more:
        page = instance.get_records_for_run(run_id, cursor=cursor, of_type=set(kinds), limit=PAGE)
        yield from (record.event_log_entry.dagster_event for record in page.records)
        cursor, has_more = page.cursor, page.has_more


def _is_made_anew(instance: dg.DagsterInstance, target: Target, run_id: str) -> bool:
    """Whether the newest materialization of an asset or a partition is that of a later run, or of none."""
    asset, partition = target
    wanted = dg.AssetRecordsFilter(asset_key=asset, asset_partitions=None if partition is None else [partition])
    records = instance.fetch_materializations(wanted, limit=1).records
    run = instance.get_run_record_by_id(run_id)
    if not records or run is None or records[0].run_id == run_id:
        return False
    return records[0].timestamp > (run.end_time or run.update_timestamp.timestamp())
