"""Moving a root's ledger from its file to a server, so that at each moment at most one of the two can be opened.

The order of things: the file's write lock is taken and kept. Every row is copied and compared in one transaction of the
server, which says of the copy that it is arriving: nobody opens it yet. The file is sealed, in the transaction that was
copied from: nobody opens it, or writes to it through a connection that is open already. The copy is told that it has
arrived. The root is told where its ledger lies.

Killed before the seal, the file is the ledger, and the copy is thrown away by the next move. Killed after it, neither
opens until the next move has compared them again and finished.
"""

import sqlite3
import uuid
from contextlib import closing
from pathlib import Path

import sqlalchemy as sa

from trajgen_assets.core.errors import LedgerError
from trajgen_assets.core.faults import reached
from trajgen_assets.core.ledger.connect import Store, check_sqlite, prepare_sqlite, sqlite_store
from trajgen_assets.core.ledger.copying import TableSum, compare, copy_ledger, fill, present_tables
from trajgen_assets.core.ledger.identity import ARRIVING, LEDGER_ID, MOVED_TO, said, say, seal
from trajgen_assets.core.ledger.place import Server, server_of, write_place
from trajgen_assets.core.ledger.schema import metadata
from trajgen_assets.core.ledger.server import ServerStore, ask_time, server_store
from trajgen_assets.core.ledger.store import check_file, open_ledger, update_schema
from trajgen_assets.core.paths import Root

Moved = dict[str, TableSum]


def move_to_server(root: Root, server: Server) -> Moved:
    """Move the ledger of `root`, which has to be at rest, to `server`; finishes a move that was cut short.

    Returns:
        What was moved: rows and digest of each table.

    Raises:
        LedgerError: the root's ledger is on a server already or went to another one, the database there is not
            empty, or the copy is not what was copied. The file is the ledger then, as before.
    """
    _check_in_file(root)
    with closing(sqlite_store(root.ledger)) as file, closing(server_store(server.url, server.where)) as target:
        check_sqlite(file)
        ask_time(target)
        update_schema(file)
        moved, ledger_id = _copied_and_sealed(file, target)
        reached("after_seal")
        with target.write() as conn:
            say(conn, ARRIVING, None)
    reached("before_place")
    write_place(root, server, ledger_id)
    return moved


def is_sealed(root: Root) -> bool:
    """Whether the file of the root's ledger has been left for a server, by a move that the root was not told of.

    Raises:
        LedgerError: as `move_to_server`.
    """
    _check_in_file(root)
    with closing(sqlite_store(root.ledger)) as file:
        check_sqlite(file)
        with file.read() as conn:
            return said(conn, MOVED_TO) is not None


def _check_in_file(root: Root) -> None:
    if root.ledger_place.exists():
        mend = "to move it on, `trajgen state pack` here and `trajgen state unpack` in a new root"
        raise LedgerError("the ledger is on a server already", where=root.ledger_place, mend=mend)
    check_file(root)


def copy_to_file(root: Root, copy: Path) -> None:
    """Write the ledger of `root`, wherever it lies, as the one file `copy`, as it is at one moment."""
    if server_of(root) is None:
        _backup(root.ledger, copy)
    else:
        prepare_sqlite(copy)
        with open_ledger(root) as ledger, closing(sqlite_store(copy, how="mode=rwc")) as target:
            copy_ledger(ledger.store, target, {})
    with closing(sqlite3.connect(copy)) as conn:
        conn.execute("PRAGMA journal_mode = DELETE")  # one file, without a log beside it


def _copied_and_sealed(file: Store, target: ServerStore) -> tuple[Moved, str]:
    """What the server has now, and under which id; the file is sealed for it."""
    with file.write() as reader:
        sealed_for = said(reader, MOVED_TO)
        if sealed_for is not None:
            return _found_again(reader, target, sealed_for)
        ledger_id = uuid.uuid4().hex
        with target.write() as writer:
            _clear_earlier(writer, target.where)
            moved = fill(reader, writer, target.where)
            say(writer, LEDGER_ID, ledger_id)
            say(writer, ARRIVING, file.where)
        reached("after_copy")
        say(reader, LEDGER_ID, ledger_id)
        seal(reader, target.where)
        return moved, ledger_id


def _found_again(reader: sa.Connection, target: ServerStore, sealed_for: str) -> tuple[Moved, str]:
    """The copy for which the file was sealed by a move that was cut short.

    Raises:
        LedgerError: the database holds another one, or none, or one that has been worked with.
    """
    ledger_id = said(reader, LEDGER_ID)
    with target.read() as conn:
        found = said(conn, LEDGER_ID) if present_tables(conn) == set(metadata.tables) else None
        if ledger_id is None or found != ledger_id:
            why = "the database that was named does not hold it"
            raise LedgerError("the ledger has moved", where=sealed_for, why=why, mend="name the database that does")
        if said(conn, ARRIVING) is None:  # all but the root's own note was done, and it may have been worked with
            return {}, ledger_id
        return compare(reader, conn, target.where), ledger_id


def _clear_earlier(writer: sa.Connection, where: str) -> None:
    """Throw away what a move that was cut short has left, which nobody can have opened.

    Raises:
        LedgerError: a ledger is there, or other tables of these names.
    """
    present = present_tables(writer)
    if not present:
        return
    if present != set(metadata.tables) or said(writer, ARRIVING) is None:
        mend = "name an empty database"
        raise LedgerError("there is a ledger already, which nothing replaces", where=where, mend=mend)
    metadata.drop_all(writer)


def _backup(ledger: Path, copy: Path) -> None:
    address = f"file:{ledger}?mode=ro"
    with closing(sqlite3.connect(address, uri=True)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
