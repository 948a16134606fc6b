"""Dagster's storage without secrets: whatever an exception or a log line quotes, it is taken out before it is stored.

An exception reaches the storage in many ways, of which only some pass through code of ours: the failure of a step or
of a run with all its causes, a tick, a hook, an engine event of the launcher, a heartbeat of the daemon, a backfill.
All of them are written by these classes. The tables and files are Dagster's own: a root can go back to its storage.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, TypeVar, cast

from dagster._core.events.log import EventLogEntry
from dagster._core.execution.backfill import PartitionBackfill
from dagster._core.scheduler.instigation import InstigatorTick, TickData
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.runs.sql_run_storage import SqlRunStorage
from dagster._core.storage.runs.sqlite.sqlite_run_storage import SqliteRunStorage
from dagster._core.storage.schedules.sql_schedule_storage import SqlScheduleStorage
from dagster._core.storage.schedules.sqlite.sqlite_schedule_storage import SqliteScheduleStorage
from dagster._core.storage.sqlite_storage import (
    DagsterSqliteStorage,
    _event_logs_directory,
    _runs_directory,
    _schedule_directory,
)
from dagster._daemon.types import DaemonHeartbeat
from dagster._serdes import ConfigurableClassData, deserialize_value, serialize_value

from resources.redaction import known_secrets
from trajgen_assets.core.redact import Redactor

# The fields that Dagster finds things by again. A secret that is spelt like a job's name would else tear them apart.
_IDENTITIES = frozenset({
    "__class__", "__enum__", "run_id", "job_name", "pipeline_name", "step_key", "step_handle", "node_handle",
    "event_type_value", "logging_tags", "asset_key", "partition", "partition_key", "run_key", "run_keys", "run_ids",
    "tags", "cursor", "selector_id", "instigator_origin_id", "instigator_name", "log_key", "origin",
    "repository_origin", "daemon_id", "daemon_type", "backfill_id", "asset_selection", "partition_names",
    "partition_set_origin",
})  # fmt: skip

_Record = TypeVar("_Record")


def without_secrets(record: _Record) -> _Record:
    """Return a record of Dagster's as it may be stored: itself, if it holds no secret."""
    packed = serialize_value(cast("Any", record))
    # Each text by itself, not as JSON packs it: what a text spells as JSON already is spelt so twice in there.
    plain = json.loads(packed)
    cleared = _cleared(plain, known_secrets().redactor())
    return record if cleared == plain else cast("_Record", deserialize_value(json.dumps(cleared)))


def _cleared(value: Any, redactor: Redactor) -> Any:
    if isinstance(value, str):
        return redactor.text(value)
    if isinstance(value, list):
        return [_cleared(each, redactor) for each in value]
    if isinstance(value, dict):
        if "__class__" in value:
            return {name: each if name in _IDENTITIES else _cleared(each, redactor) for name, each in value.items()}
        return {_cleared_name(name, redactor): _cleared(each, redactor) for name, each in value.items()}
    return value


def _cleared_name(name: str, redactor: Redactor) -> str:
    """A name in a plain mapping may be foreign text, unless it is how Dagster packs a set, say."""
    return name if name.startswith("__") else redactor.text(name)


class RedactingEvents(SqlEventLogStorage):
    """The events of runs, in whatever database."""

    def store_event(self, event: EventLogEntry) -> None:
        """Store it without secrets."""
        super().store_event(without_secrets(event))


class RedactingTicks(SqlScheduleStorage):
    """The ticks of sensors."""

    def create_tick(self, tick_data: TickData) -> InstigatorTick:
        """Store it without secrets."""
        return super().create_tick(without_secrets(tick_data))

    def update_tick(self, tick: InstigatorTick) -> InstigatorTick:
        """Store it without secrets."""
        return super().update_tick(tick._replace(tick_data=without_secrets(tick.tick_data)))


class RedactingRuns(SqlRunStorage):
    """Runs, heartbeats and backfills."""

    def add_daemon_heartbeat(self, daemon_heartbeat: DaemonHeartbeat) -> None:
        """Store it without secrets."""
        super().add_daemon_heartbeat(without_secrets(daemon_heartbeat))

    def add_backfill(self, partition_backfill: PartitionBackfill) -> None:
        """Store it without secrets."""
        super().add_backfill(without_secrets(partition_backfill))

    def update_backfill(self, partition_backfill: PartitionBackfill) -> None:
        """Store it without secrets."""
        super().update_backfill(without_secrets(partition_backfill))


class Events(RedactingEvents, SqliteEventLogStorage):
    """The events of runs in SQLite, in a file for each run."""

    def delete_events(self, run_id: str) -> None:
        """Delete them, and their file: the inherited method leaves it there, empty and as large as it was."""
        super().delete_events(run_id)
        file = Path(self.path_for_shard(run_id))
        for each in (file, *(file.with_name(file.name + suffix) for suffix in ("-wal", "-shm", "-journal"))):
            each.unlink(missing_ok=True)
        self._initialized_dbs.discard(run_id)


class Ticks(RedactingTicks, SqliteScheduleStorage):
    """The ticks of sensors in SQLite."""


class Runs(RedactingRuns, SqliteRunStorage):
    """Runs, heartbeats and backfills in SQLite."""


class RedactingStorage(DagsterSqliteStorage):
    """Dagster's SQLite storage, in the same files, made of these classes."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        """Do what the inherited one does, with other classes: called, it would open every database twice."""
        super(DagsterSqliteStorage, self).__init__()  # type: ignore[no-untyped-call]
        self.base_dir = base_dir
        self._inst_data = inst_data
        self._run_storage = Runs.from_local(_runs_directory(base_dir))
        self._event_log_storage = Events(_event_logs_directory(base_dir))
        self._schedule_storage = Ticks.from_local(_schedule_directory(base_dir))

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]) -> Self:
        """Make one as `dagster.yaml` configures it; the inherited method would make a plain one."""
        return cls.from_local(inst_data=inst_data, **config_value)
