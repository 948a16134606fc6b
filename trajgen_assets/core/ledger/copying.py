"""Copying a whole ledger into an empty database: every row, and proven by count and digest before it counts."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from trajgen_assets.core.errors import LedgerCorruptError, LedgerError
from trajgen_assets.core.ledger.connect import Store
from trajgen_assets.core.ledger.identity import ABOUT_ITSELF, say
from trajgen_assets.core.ledger.schema import (
    WRITER,
    Moment,
    attempts,
    meta,
    metadata,
    schema_migrations,
    tasks,
    without_nul,
)

CHUNK = 5_000


@dataclass(frozen=True)
class TableSum:
    """How many rows a table has, and the sum of their SHA-256, which no order of the rows changes."""

    n_rows: int
    sha256: str


def holds_ledger(store: Store) -> bool:
    """Whether a database holds a ledger, whole or not; False where it has no table of these names.

    Raises:
        LedgerCorruptError: tables of these names are another program's.
    """
    with store.read() as conn:
        present = present_tables(conn)
    if present and not present >= {meta.name, schema_migrations.name}:
        why = f"it has tables {', '.join(sorted(present))}"
        raise LedgerCorruptError("this database is not a ledger", where=store.where, why=why, mend="name another one")
    return bool(present)


def present_tables(conn: sa.Connection) -> set[str]:
    """Those tables of a ledger that a database has."""
    return set(metadata.tables) & set(sa.inspect(conn).get_table_names())


def copy_ledger(source: Store, target: Store, words: Mapping[str, str]) -> bool:
    """Copy `source` in one transaction; False, and nothing is touched, where somebody was faster.

    Args:
        words: what the copy is to say of itself, by key.

    Raises:
        LedgerError: the copy is not what was copied; nothing of it is left.
    """
    with source.read() as reader, target.write() as writer:
        if present_tables(writer):
            return False
        fill(reader, writer, target.where)
        for key, value in words.items():
            say(writer, key, value)
    return True


def fill(reader: sa.Connection, writer: sa.Connection, where: str) -> dict[str, TableSum]:
    """Make the tables and copy every row, within the transactions of both. Returns what was copied, by table.

    Raises:
        LedgerError: what is read back is not what was copied.
    """
    metadata.create_all(writer, checkfirst=False)
    for table in metadata.sorted_tables:
        for rows in _chunks(reader, table):
            writer.execute(_plain(table).insert(), [dict(row) for row in rows])
    _go_on_counting(reader, writer)
    return compare(reader, writer, where)


def compare(reader: sa.Connection, writer: sa.Connection, where: str) -> dict[str, TableSum]:
    """Prove by count and digest that both hold the same. What each says of itself is left out.

    Raises:
        LedgerError: they do not.
    """
    sums = {}
    for table in metadata.sorted_tables:
        sums[table.name], found = (_sum(conn, table) for conn in (reader, writer))
        if found != sums[table.name]:
            why = f"{found.n_rows} of {sums[table.name].n_rows} rows, digest {found.sha256[:12]}"
            what = f"the copy of table {table.name} is not what was copied"
            raise LedgerError(
                what, where=where, why=why, mend="nothing was changed; see the server's log, and repeat it"
            )
    return sums


def _chunks(conn: sa.Connection, table: sa.Table) -> Iterator[Sequence[Mapping[str, object]]]:
    plain = _plain(table)
    query = sa.select(plain)
    if table is meta:
        query = query.where(plain.c.key.not_in(ABOUT_ITSELF), ~plain.c.key.startswith(WRITER, autoescape=True))
    found = conn.execute(query, execution_options={"yield_per": CHUNK})
    for rows in found.mappings().partitions():
        yield [{name: _clean(value) for name, value in row.items()} for row in rows]


def _plain(table: sa.Table) -> sa.TableClause:
    """The table with times and words as the texts that they are stored as."""
    as_text = (Moment, sa.Enum)
    columns = [sa.column(c.name, sa.String() if isinstance(c.type, as_text) else c.type) for c in table.columns]
    return sa.table(table.name, *columns)


def _clean(value: object) -> object:
    return without_nul(value) if isinstance(value, str) else value


def _sum(conn: sa.Connection, table: sa.Table) -> TableSum:
    n_rows, total = 0, 0
    for rows in _chunks(conn, table):
        for row in rows:
            n_rows += 1
            total += int.from_bytes(hashlib.sha256(repr(tuple(row.values())).encode()).digest())
    return TableSum(n_rows, f"{total % 2**256:064x}")


def _go_on_counting(reader: sa.Connection, writer: sa.Connection) -> None:
    """Have a server count on behind the highest number that was ever given away; SQLite does by itself."""
    if writer.dialect.name == "sqlite":
        return
    for column in (tasks.c.position, attempts.c.attempt_id):
        highest = writer.scalar(sa.select(sa.func.max(column))) or 0
        if reader.dialect.name == "sqlite":
            query = sa.text("SELECT seq FROM sqlite_sequence WHERE name = :name")
            highest = max(highest, reader.scalar(query, {"name": column.table.name}) or 0)
        if highest:
            sequence = sa.func.pg_get_serial_sequence(column.table.name, column.name)
            writer.execute(sa.select(sa.func.setval(sequence, highest)))
