"""The schema's history. What has been applied is written in the database itself, by number."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from trajgen_assets.core.errors import LedgerCorruptError
from trajgen_assets.core.ledger import schema


@dataclass(frozen=True)
class Migration:
    """One step of the schema. `apply` runs in the transaction that records its number."""

    number: int
    name: str
    apply: Callable[[sa.Connection], None]


def _initial(conn: sa.Connection) -> None:
    schema.metadata.create_all(conn, checkfirst=False)


def _asked_by(conn: sa.Connection) -> None:
    conn.exec_driver_sql("ALTER TABLE jobs ADD COLUMN asked_by VARCHAR(16)")


def _requests_of_people(conn: sa.Connection) -> None:
    schema.metadata.create_all(conn, tables=[schema.stop_requests, schema.pauses])


def _removals(conn: sa.Connection) -> None:
    schema.metadata.create_all(conn, tables=[schema.removals])


# A new ledger is made from `schema.metadata` as it is now and gets every number at once; an older one runs the
# steps that it lacks. So a step after the first says only how to get there from the one before.
MIGRATIONS = (
    Migration(1, "initial", _initial),
    Migration(2, "jobs say who asked for them", _asked_by),
    Migration(3, "people stop jobs and pause launches", _requests_of_people),
    Migration(4, "trajectories of jobs are removed", _removals),
)
NEWEST = MIGRATIONS[-1].number


def create_schema(conn: sa.Connection, now: datetime) -> None:
    """Make all tables in an empty database and record every migration as applied."""
    _initial(conn)
    for each in MIGRATIONS:
        _record(conn, each, now)


def check_numbers(conn: sa.Connection, where: str) -> tuple[Migration, ...]:
    """Return the migrations that the database lacks.

    Raises:
        LedgerCorruptError: its schema is newer than this program, or its history has holes.
    """
    applied = _applied(conn, where)
    if applied and applied[-1] > NEWEST:
        raise LedgerCorruptError(
            f"the ledger has schema version {applied[-1]}, this program knows {NEWEST}",
            where=where,
            mend="use the newer trajgen that wrote it",
        )
    if not applied or applied != [each.number for each in MIGRATIONS[: len(applied)]]:
        raise LedgerCorruptError(
            "the ledger is half-written: its schema history has holes", where=where, why=f"applied: {applied}"
        )
    return MIGRATIONS[len(applied) :]


def apply_missing(conn: sa.Connection, now: datetime, where: str) -> None:
    """Bring an older schema up to date, within the write transaction of `conn`."""
    for each in check_numbers(conn, where):
        each.apply(conn)
        _record(conn, each, now)


def check_tables(conn: sa.Connection, where: str) -> None:
    """Refuse a database in which tables or columns of the newest schema are missing."""
    inspector = sa.inspect(conn)
    present = set(inspector.get_table_names())
    for name, table in schema.metadata.tables.items():
        columns = {column["name"] for column in inspector.get_columns(name)} if name in present else set()
        lacking = {column.name for column in table.columns} - columns
        if lacking:
            raise LedgerCorruptError(
                f"the ledger is half-written: table {name} lacks {', '.join(sorted(lacking))}", where=where
            )


def _applied(conn: sa.Connection, where: str) -> list[int]:
    if not sa.inspect(conn).has_table(schema.schema_migrations.name):
        raise LedgerCorruptError("the ledger is half-written: it has no schema history", where=where)
    number = schema.schema_migrations.c.number
    return list(conn.scalars(sa.select(number).order_by(number)))


def _record(conn: sa.Connection, migration: Migration, now: datetime) -> None:
    row = {"number": migration.number, "name": migration.name, "applied_at": now}
    conn.execute(schema.schema_migrations.insert(), row)
