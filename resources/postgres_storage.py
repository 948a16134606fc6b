"""Dagster's storage on Postgres, without secrets, as `resources.storage` is it in SQLite."""

from collections.abc import Mapping
from typing import Any, Self

from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage
from dagster_postgres.event_log import PostgresEventLogStorage
from dagster_postgres.run_storage import PostgresRunStorage
from dagster_postgres.schedule_storage import PostgresScheduleStorage

from resources.storage import RedactingEvents, RedactingRuns, RedactingTicks
from trajgen_assets.core.ledger.place import server_at
from trajgen_assets.core.paths import DAGSTER_URL_ENV, Root


class Events(RedactingEvents, PostgresEventLogStorage):
    """The events of runs on Postgres."""


class Ticks(RedactingTicks, PostgresScheduleStorage):
    """The ticks of sensors on Postgres."""


class Runs(RedactingRuns, PostgresRunStorage):
    """Runs, heartbeats and backfills on Postgres."""


class RedactingPostgresStorage(DagsterPostgresStorage):
    """Dagster's Postgres storage, in the same tables, made of these classes."""

    def __init__(
        self, postgres_url: str, should_autocreate_tables: bool = True, inst_data: ConfigurableClassData | None = None
    ) -> None:
        """Do what the inherited one does, with other classes: called, it would connect twice."""
        super(DagsterPostgresStorage, self).__init__()  # type: ignore[no-untyped-call]
        server = server_at(Root.from_environ(), postgres_url, named_by=DAGSTER_URL_ENV)
        self.postgres_url = server.url.render_as_string(hide_password=False)
        self.should_autocreate_tables = should_autocreate_tables
        self._inst_data = inst_data
        self._run_storage = Runs(self.postgres_url, should_autocreate_tables)
        self._event_log_storage = Events(self.postgres_url, should_autocreate_tables)
        self._schedule_storage = Ticks(self.postgres_url, should_autocreate_tables)

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        """Make one as `dagster.yaml` configures it; the inherited method would make a plain one."""
        return cls(inst_data=inst_data, **config_value)
