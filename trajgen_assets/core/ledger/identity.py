"""Which ledger a database holds, and whether it holds it still: said in the database itself."""

import sqlalchemy as sa

from trajgen_assets.core.errors import LedgerCorruptError, LedgerMovedError
from trajgen_assets.core.ledger.connect import SEALED, Store
from trajgen_assets.core.ledger.schema import meta, metadata

LEDGER_ID = "ledger id"
MOVED_TO = "moved to"
ARRIVING = "arriving from"
ABOUT_ITSELF = (LEDGER_ID, MOVED_TO, ARRIVING)


def identity(store: Store) -> str:
    """The id of the ledger on a server.

    Raises:
        LedgerCorruptError: it has none, or a move into it was not finished.
    """
    with store.read() as conn:
        _refuse_arriving(conn, store.where)
        found = said(conn, LEDGER_ID)
    if found is None:
        raise LedgerCorruptError("this database is not a ledger", where=store.where, mend="name another database")
    return found


def check_identity(store: Store, expected: str) -> None:
    """Refuse another ledger than the one that the root had.

    Raises:
        LedgerCorruptError
    """
    if (found := identity(store)) != expected:
        raise LedgerCorruptError(
            "this is another root's ledger",
            where=store.where,
            why=f"its id is {found}, and this root's is {expected}",
            mend="correct the address",
        )


def check_not_moved(store: Store) -> None:
    """Refuse a ledger that has gone on to a server.

    Raises:
        LedgerMovedError
    """
    with store.read() as conn:
        place = said(conn, MOVED_TO)
    if place is not None:
        mend = "`trajgen ledger migrate --to` that database finishes the move, and has this root find it"
        raise LedgerMovedError("the ledger has moved", where=store.where, why=f"it is at {place}", mend=mend)


def said(conn: sa.Connection, key: str) -> str | None:
    """What the ledger says of itself under `key`."""
    found = conn.scalar(sa.select(meta.c.value).where(meta.c.key == key))
    return None if found is None else str(found)


def say(conn: sa.Connection, key: str, value: str | None) -> None:
    """Have the ledger say `value` under `key`, or no longer anything."""
    conn.execute(sa.delete(meta).where(meta.c.key == key))
    if value is not None:
        conn.execute(meta.insert(), {"key": key, "value": value})


def seal(conn: sa.Connection, place: str) -> None:
    """Say that the ledger has moved, and have SQLite refuse each later write, also of those who have it open."""
    say(conn, MOVED_TO, place)
    for table in metadata.tables:
        for change in ("INSERT", "UPDATE", "DELETE"):
            name = f"sealed_{table}_{change.lower()}"
            refusal = f"SELECT RAISE(ABORT, '{SEALED}')"
            conn.exec_driver_sql(f"CREATE TRIGGER {name} BEFORE {change} ON {table} BEGIN {refusal}; END")


def _refuse_arriving(conn: sa.Connection, where: str) -> None:
    origin = said(conn, ARRIVING)
    if origin is not None:
        raise LedgerCorruptError(
            "a move into this database was not finished", where=where, why=f"it comes from {origin}",
            mend="repeat `trajgen ledger migrate --to` there, which finishes it",
        )  # fmt: skip
