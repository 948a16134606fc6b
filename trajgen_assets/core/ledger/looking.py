"""A ledger that is only looked at: nothing on disk changes, not even the files that SQLite keeps beside it."""

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trajgen_assets.core.errors import LedgerError
from trajgen_assets.core.ledger import migrations
from trajgen_assets.core.ledger.connect import Store, check_sqlite, sqlite_store
from trajgen_assets.core.ledger.identity import check_not_moved
from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.ledger.place import Server, server_of
from trajgen_assets.core.ledger.store import check_file, closed_on_error, open_ledger, server_with_ledger
from trajgen_assets.core.paths import Root

_LOG, _INDEX = "-wal", "-shm"

# A writer that begins or ends between our look at its files and our first read: another look tells.
_N_TRIES = 3


@contextmanager
def looking_at_ledger(root: Root) -> Iterator[Ledger]:
    """Open the ledger of `root` for reading alone. A file of an older schema is looked at in a copy.

    SQLite makes its log and index when a database is merely opened, and clears them away behind the last reader. So
    one that nobody has open is read as a file that cannot change, and one that somebody has open through their index.

    Raises:
        LedgerMissingError, LedgerCorruptError, BusyError, LedgerError: as `open_ledger`; and a ledger on a server is
            of an older schema, which other hosts may still work with.
    """
    server = server_of(root)
    if server is not None:
        with _of_server(root, server) as ledger:
            yield ledger
        return
    check_file(root)
    store = _open_current(root)
    if store is not None:
        with Ledger(store) as ledger:
            yield ledger
        return
    with tempfile.TemporaryDirectory(prefix="trajgen-ledger-") as folder:
        copy = Root(Path(folder), root.env)
        for suffix in ("", _LOG):
            if _beside(root, suffix).exists():
                shutil.copyfile(_beside(root, suffix), _beside(copy, suffix))
        try:
            ledger = open_ledger(copy)
        except LedgerError as error:
            raise error.at(root.ledger) from error
        with ledger:
            yield ledger


def _of_server(root: Root, server: Server) -> Ledger:
    """The ledger there: a reader leaves nothing behind."""
    store = server_with_ledger(root, server)
    with closed_on_error(store):
        if not _is_current(store):
            what = "the ledger is of an older schema, which a look does not change"
            mend = "`trajgen ledger check` brings it up to date, once every host has this trajgen"
            raise LedgerError(what, where=store.where, mend=mend)
    return Ledger(store, store.now)


def _open_current(root: Root) -> Store | None:
    """The ledger, read where it lies; None if it can only be read in a copy."""
    for _ in range(_N_TRIES):
        if (how := _how(root)) is None:
            return None
        store = sqlite_store(root.ledger, how=how)
        try:
            is_current = _is_current_file(store)
        except LedgerError as error:
            store.close()
            if _is_refused_index(error):
                return None
            if how == _how(root):
                raise
            continue
        if is_current and how == _how(root):
            return store
        store.close()
        if not is_current:
            return None
    return None


def _how(root: Root) -> str | None:
    if not _beside(root, _LOG).exists():
        return "mode=ro&immutable=1"
    return "mode=ro&readonly_shm=1" if _beside(root, _INDEX).exists() else None


def _is_current_file(store: Store) -> bool:
    check_sqlite(store)
    is_current = _is_current(store)
    if is_current:
        check_not_moved(store)
    return is_current


def _is_current(store: Store) -> bool:
    with store.read() as conn:
        if migrations.check_numbers(conn, store.where):
            return False
        migrations.check_tables(conn, store.where)
    return True


def _is_refused_index(error: LedgerError) -> bool:
    cause = error.__cause__
    code = getattr(getattr(cause, "orig", None), "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)


def _beside(root: Root, suffix: str) -> Path:
    return root.ledger.with_name(root.ledger.name + suffix)
