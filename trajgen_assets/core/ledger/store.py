"""Creating and opening a root's ledger. Neither ever takes a missing ledger for an empty one."""

import os
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path

from trajgen_assets.core import clock
from trajgen_assets.core.atomic import fsync_dir
from trajgen_assets.core.errors import LedgerCorruptError, LedgerError, LedgerMissingError
from trajgen_assets.core.faults import reached
from trajgen_assets.core.ledger import migrations
from trajgen_assets.core.ledger.connect import (
    BUSY_TIMEOUT_S,
    CORRUPT_MEND,
    Store,
    check_sqlite,
    prepare_sqlite,
    sqlite_store,
    until_done,
)
from trajgen_assets.core.ledger.copying import copy_ledger, holds_ledger
from trajgen_assets.core.ledger.identity import LEDGER_ID, check_identity, check_not_moved, identity
from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.ledger.place import Server, has_ledger, server_of, write_place
from trajgen_assets.core.ledger.server import ask_time, server_store
from trajgen_assets.core.paths import Root

REBUILD_MEND = (
    "put the ledger back from a copy that you trust, or rebuild it from what lies there with `trajgen ledger import` "
    "and then `trajgen ledger check --fix`; or begin in another place with --root"
)


def open_ledger(
    root: Root, *, now: Callable[[], datetime] | None = None, busy_timeout_s: float = BUSY_TIMEOUT_S
) -> Ledger:
    """Open the ledger of `root`, after checking that it is ours, whole and of a schema that we know.

    Args:
        now: the time that leases go by; by default this host's for a file, and the server's for one on a server.
        busy_timeout_s: how long a lock is waited for, and a server that does not answer.

    Raises:
        LedgerMissingError: there is none.
        LedgerCorruptError: it is damaged, half-written, foreign, or of a newer schema.
        BusyError: another process kept it locked, or its server does not answer.
        LedgerError: its disk cannot be read or written, or it has moved to a server.
        ConfigError: the address of its server is malformed, or lacks a variable.
    """
    server = server_of(root)
    if server is None:
        store = _open_file(root, busy_timeout_s)
    else:
        store = server_with_ledger(root, server, patience_s=busy_timeout_s)
        with closed_on_error(store):
            until_done(lambda: update_schema(store))
    return Ledger(store, now or store.now)


def _open_file(root: Root, busy_timeout_s: float) -> Store:
    check_file(root)
    store = sqlite_store(root.ledger, busy_timeout_s=busy_timeout_s)
    with closed_on_error(store):
        check_sqlite(store)
        update_schema(store)
        check_not_moved(store)
    return store


def server_with_ledger(root: Root, server: Server, *, patience_s: float = BUSY_TIMEOUT_S) -> Store:
    """Open the database that has the root's ledger, of whatever schema; raises as `open_ledger`."""
    store = server_store(server.url, server.where, patience_s=patience_s)
    with closed_on_error(store):
        ask_time(store)
        until_done(lambda: _check_it_is_there(root, server, store))
    return store


def _check_it_is_there(root: Root, server: Server, store: Store) -> None:
    if server.ledger_id is None or not holds_ledger(store):
        mend = REBUILD_MEND if _evidence(root) else "run `trajgen setup`"
        raise LedgerMissingError("there is no ledger", where=server.where, mend=mend)
    check_identity(store, server.ledger_id)


@contextmanager
def closed_on_error(store: Store) -> Iterator[None]:
    """Close the store unless the block ends well."""
    try:
        yield
    except BaseException:
        store.close()
        raise


def create_ledger(
    root: Root,
    *,
    has_materializations: bool | Callable[[], bool] = False,
    importing: bool = False,
    fill: Callable[[Ledger], object] | None = None,
) -> bool:
    """Make a ledger where there is none, an empty one unless filled. It appears whole, under its name, or not at all.

    Where a server is named, it is made there; a root without work of its own joins the ledger that is there already.

    Args:
        has_materializations: whether Dagster knows of materialized tasks, or a function that finds out.
        importing: what lies there is about to be imported, so it is no reason to refuse.
        fill: writes to it what was imported, before anybody else can open it and take tasks for free.

    Returns:
        Whether it was made; False, and nothing is touched, when there is one already.

    Raises:
        LedgerError: work of an earlier ledger lies there, which an empty one would deny.
    """
    if has_ledger(root):
        server_of(root)  # refuses a file beside a server
        return False
    server = server_of(root)
    _refuse_leftovers(root)
    if not importing:
        _refuse_evidence(root, has_materializations)
    root.path.mkdir(parents=True, exist_ok=True)
    if server is not None:
        return _create_on_server(root, server, fill)
    with _new_file(root.path) as temp:
        _build(temp, fill)
        reached("before_link")
        try:
            os.link(temp, root.ledger)  # unlike a rename, it never replaces what another process just made
        except FileExistsError:
            return False
    fsync_dir(root.path)
    return True


def _create_on_server(root: Root, server: Server, fill: Callable[[Ledger], object] | None) -> bool:
    """Make the ledger there in one transaction, as a copy of one in a file, or join the one that is there."""
    with closing(server_store(server.url, server.where)) as store:
        ask_time(store)
        ledger_id = uuid.uuid4().hex
        is_new = not holds_ledger(store) and _copy_new(root.path, store, {LEDGER_ID: ledger_id}, fill)
        if not is_new:
            if fill is not None:
                mend = "name an empty database, or unset the address and import into a file"
                raise LedgerError("there is a ledger already, which nothing replaces", where=server.where, mend=mend)
            ledger_id = identity(store)
            update_schema(store)
    write_place(root, server, ledger_id)
    return is_new


def _copy_new(folder: Path, target: Store, words: dict[str, str], fill: Callable[[Ledger], object] | None) -> bool:
    with _new_file(folder) as temp:
        _build(temp, fill)
        with closing(sqlite_store(temp)) as made:
            return copy_ledger(made, target, words)


def check_file(root: Root) -> None:
    """Look at the file from outside: opening and closing it here would drop every lock that SQLite holds on it.

    POSIX gives up all of a process's locks on a file when any descriptor of it is closed. Another process would then
    take itself for the last user of the ledger and delete its log under an open connection of ours.
    """
    try:
        size_bytes = root.ledger.stat().st_size
        is_read_only = bool(os.statvfs(root.ledger).f_flag & os.ST_RDONLY)
    except FileNotFoundError:
        mend = REBUILD_MEND if _evidence(root) else "run `trajgen setup`"
        raise LedgerMissingError("there is no ledger", where=root.ledger, mend=mend) from None
    except OSError as error:
        raise LedgerError("the ledger cannot be read", where=root.ledger, why=error.strerror) from error
    if is_read_only:
        mend = "mount it for writing, or begin in another place with --root"
        raise LedgerError("the ledger cannot be written", where=root.ledger, why="its disk is read-only", mend=mend)
    if size_bytes == 0:
        raise LedgerCorruptError("the ledger is not whole", where=root.ledger, why="it is empty", mend=CORRUPT_MEND)


def update_schema(store: Store) -> None:
    """Bring an older schema up to date, and refuse one that is newer or not whole."""
    with store.read() as conn:
        is_old = bool(migrations.check_numbers(conn, store.where))
    if is_old:
        with store.write() as conn:
            migrations.apply_missing(conn, store.now(), store.where)
    with store.read() as conn:
        migrations.check_tables(conn, store.where)


def _refuse_leftovers(root: Root) -> None:
    for suffix in ("-wal", "-journal"):
        left = root.ledger.with_name(root.ledger.name + suffix)
        if left.exists():
            raise LedgerError(
                "a ledger was here and only its log is left",
                where=left,
                mend="put its database back beside it, or move the log aside and " + REBUILD_MEND,
            )


def _refuse_evidence(root: Root, has_materializations: bool | Callable[[], bool]) -> None:
    found = _evidence(root)
    if has_materializations is True or (callable(has_materializations) and has_materializations()):
        found.append("materializations in Dagster")
    if found:
        raise LedgerError(
            "an empty ledger would deny work that was done here",
            where=root.path,
            why=f"there are {', '.join(found)}",
            mend=REBUILD_MEND,
        )


def has_evidence(root: Root) -> bool:
    """Whether something lies there that an earlier ledger knew of."""
    return bool(_evidence(root))


def _evidence(root: Root) -> list[str]:
    folders = [f"files in {folder.name}/" for folder in (root.jobs, root.archives) if _has_entries(folder)]
    return folders + ([root.ledger_view.name] if root.ledger_view.exists() else [])


def _has_entries(folder: Path) -> bool:
    try:
        return any(not each.name.startswith(".") for each in folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return False


@contextmanager
def _new_file(folder: Path) -> Iterator[Path]:
    fd, name = tempfile.mkstemp(dir=folder, prefix=".ledger.", suffix=".tmp")
    os.close(fd)
    try:
        yield Path(name)
    finally:
        for suffix in ("", "-wal", "-shm", "-journal"):
            with suppress(FileNotFoundError):
                os.unlink(name + suffix)


def _build(path: Path, fill: Callable[[Ledger], object] | None) -> None:
    path.chmod(0o644)
    prepare_sqlite(path)
    store = sqlite_store(path)
    try:
        with store.write() as conn:
            migrations.create_schema(conn, clock.now())
        if fill is not None:
            fill(Ledger(store))
    finally:
        store.close()  # the last connection to close moves the log into the file
    with path.open("rb") as file:
        os.fsync(file.fileno())
