"""Connections and transactions of a ledger in a SQLite file. What lies on a server is in `server`."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import sqlalchemy as sa

from trajgen_assets.core import clock
from trajgen_assets.core.errors import BusyError, LedgerCorruptError, LedgerError, LedgerMovedError, TrajgenError
from trajgen_assets.core.faults import reached

BUSY_TIMEOUT_S = 30.0
APPLICATION_ID = 0x54524A47  # "TRJG"

T = TypeVar("T")

SEALED = "this ledger has moved"
"""What SQLite says of a write to one that has: see `identity.seal`."""

_CORRUPT = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_found_whole: dict[str, tuple[int, ...]] = {}  # by path: the version of the file that this process last checked


class Interrupted(BusyError):
    """The connection was lost, and nothing of the transaction was written: it may be done again."""


def until_done(do: Callable[[], T]) -> T:
    """Do it, and again as long as its connection is lost before anything of it was written; for 30 s at most."""
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            return do()
        except Interrupted:
            if time.monotonic() > deadline:
                raise


@dataclass(frozen=True)
class Store:
    """A database with the one rule that everything else rests on: writers take turns.

    A write transaction has the write lock from its first statement to its commit (SQLite `BEGIN IMMEDIATE`,
    a transaction's advisory lock on Postgres), so what it has read stays true until it has written.

    Attributes:
        engine: its connections.
        where: the file, or the server's address without a password.
        now: the time that leases go by.
    """

    engine: sa.Engine
    where: str
    now: Callable[[], datetime] = clock.now

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """Yield a connection within a write transaction: committed when the block ends well, else rolled back."""
        with self._explained(), self._writer.begin() as conn:
            yield conn
            reached("before_commit")
        reached("after_commit")

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Yield a connection on one snapshot, which neither waits for a writer nor keeps one waiting."""
        with self._explained(), self.engine.begin() as conn:
            yield conn

    def close(self) -> None:
        self.engine.dispose()
        if self.where in _found_whole:  # what this process has written itself is no reason to look through it again
            _found_whole[self.where] = _version(Path(self.where))

    @cached_property
    def _writer(self) -> sa.Engine:
        return self.engine.execution_options(writes=True)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sa.exc.DBAPIError as error:
            raise self.explain(error) from error

    def explain(self, error: sa.exc.DBAPIError) -> TrajgenError:
        """Say in our own words what the database refused."""
        return explain(error, self.where)


def sqlite_store(path: Path, *, busy_timeout_s: float = BUSY_TIMEOUT_S, how: str = "mode=rw") -> Store:
    """Open the SQLite file `path`, which must exist: nothing is created, and nothing read yet.

    `how` is the query of its address, by SQLite's names.
    """

    def connect() -> sqlite3.Connection:
        conn = sqlite3.connect(
            f"file:{quote(str(path))}?{how}",
            uri=True,
            timeout=busy_timeout_s,
            isolation_level=None,  # the driver would otherwise begin transactions of its own, and none for DDL
            check_same_thread=False,
        )
        conn.execute("PRAGMA synchronous = FULL")
        conn.execute("PRAGMA foreign_keys = ON")
        conn.execute("PRAGMA cache_size = -65536")  # 64 MB: the indexes of a million tasks do not fit the default 2
        return conn

    engine = sa.create_engine("sqlite://", creator=connect, poolclass=sa.QueuePool)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return Store(engine, str(path))


def prepare_sqlite(path: Path) -> None:
    """Mark the new, empty file `path` as ours and switch it to write-ahead logging, both for good."""
    conn = sqlite3.connect(path, isolation_level=None)
    try:
        conn.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        conn.execute("PRAGMA journal_mode = WAL")
    finally:
        conn.close()


def check_sqlite(store: Store) -> None:
    """Refuse a SQLite file that is not ours or not whole.

    Looking through the whole file takes 0.1 s for a hundred thousand tasks, so a process does it again only when
    another one has written to the file. Damage that comes otherwise is refused by SQLite where it is touched.

    Raises:
        LedgerCorruptError: it is another program's database, or is damaged.
    """
    with store.read() as conn:
        if _pragma(conn, "application_id") != APPLICATION_ID:
            raise LedgerCorruptError("this database is not a ledger", where=store.where, mend=CORRUPT_MEND)
        version = _version(Path(store.where))  # before the look: what changes meanwhile is looked at the next time
        if _found_whole.get(store.where) == version:
            return
        verdict = _pragma(conn, "quick_check(1)")
    if verdict != "ok":
        raise LedgerCorruptError("the ledger is damaged", where=store.where, why=verdict, mend=CORRUPT_MEND)
    _found_whole[store.where] = version


CORRUPT_MEND = "move it aside with its -wal and -shm and put back a copy that you trust, or begin elsewhere with --root"


def explain(error: sa.exc.DBAPIError, where: str) -> TrajgenError:
    """Say in our own words what the database refused."""
    code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
    if code in _BUSY:
        return BusyError(
            "the ledger is locked",
            where=where,
            why=error.orig,
            mend="wait for the process that writes to it, or end it",
        )
    if code in _CORRUPT:
        return LedgerCorruptError("the ledger cannot be read", where=where, why=error.orig, mend=CORRUPT_MEND)
    if SEALED in str(error.orig):
        mend = "stop this process; what is started anew finds it"
        return LedgerMovedError("the ledger has moved to a server meanwhile", where=where, mend=mend)
    return LedgerError(
        "the ledger refused", where=where, why=error.orig, mend="check that its disk has room and can be written"
    )


def _version(path: Path) -> tuple[int, ...]:
    try:
        status = path.stat()
    except OSError:
        return ()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _pragma(conn: sa.Connection, text: str) -> Any:
    return conn.exec_driver_sql(f"PRAGMA {text}").scalar()


def _begin_sqlite(conn: sa.Connection) -> None:
    conn.exec_driver_sql("BEGIN IMMEDIATE" if conn.get_execution_options().get("writes") else "BEGIN")
