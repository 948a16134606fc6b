import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.unit.preflight.twins import tree_digest
from trajgen_assets.core.errors import LedgerCorruptError, LedgerMissingError
from trajgen_assets.core.ledger import create_ledger, open_ledger
from trajgen_assets.core.ledger.looking import looking_at_ledger
from trajgen_assets.core.paths import Root

# Writes, and is killed in the end: its log and index are left behind.
WRITER = """
import os, signal, sys
from pathlib import Path
from trajgen_assets.core.ledger.store import open_ledger
from trajgen_assets.core.paths import Root
ledger = open_ledger(Root(Path(sys.argv[1])))
ledger.trip("d", "sandbox")
print("tripped", flush=True)
sys.stdin.readline()
ledger.clear("d")
print("cleared", flush=True)
sys.stdin.readline()
os.kill(os.getpid(), signal.SIGKILL)
"""


@contextmanager
def writer(root: Root) -> Iterator["subprocess.Popen[str]"]:
    """A process that has tripped `d`, clears it after a line, and is killed in the end."""
    command = [sys.executable, "-c", WRITER, root.path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert heard(process) == "tripped"
        yield process
        process.kill()


def heard(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def tell(process: "subprocess.Popen[str]") -> None:
    assert process.stdin is not None
    print(file=process.stdin, flush=True)


def look(root: Root) -> str:
    """What a look tells of data set `d`, and that it left no trace."""
    before = tree_digest(root.path)
    with looking_at_ledger(root) as ledger:
        ledger.check_balance()
        state = ledger.breaker_state("d").state.value
    assert tree_digest(root.path) == before
    return state


def test_a_ledger_at_rest_is_looked_at_without_a_trace(root: Root) -> None:
    create_ledger(root)
    assert look(root) == "closed"


def test_what_an_open_writer_has_committed_is_seen_through_its_index(root: Root) -> None:
    create_ledger(root)
    with writer(root) as process:
        assert look(root) == "open"
        tell(process)
        assert heard(process) == "cleared"
        assert look(root) == "closed"


@pytest.mark.parametrize("index_is_left", [True, False])
def test_what_a_killed_writer_left_in_its_log_is_seen_and_left(root: Root, index_is_left: bool) -> None:
    create_ledger(root)
    with writer(root):
        pass
    if not index_is_left:
        os.unlink(f"{root.ledger}-shm")
    assert Path(f"{root.ledger}-wal").stat().st_size
    assert look(root) == "open"
    with open_ledger(root) as ledger:
        assert ledger.breaker_state("d").state.value == "open"


def test_an_older_schema_is_looked_at_in_a_copy_and_stays_as_it_is(root: Root) -> None:
    create_ledger(root)
    with closing(sqlite3.connect(root.ledger)) as conn:
        (text,) = conn.execute("SELECT sql FROM sqlite_master WHERE name = 'jobs'").fetchone()
        lines = [line.rstrip(", ") for line in text.splitlines()[1:-1] if "asked_by" not in line]
        older = "CREATE TABLE jobs (" + ", ".join(lines) + ")"
        conn.execute("PRAGMA writable_schema = 1")
        conn.execute("UPDATE sqlite_master SET sql = ? WHERE name = 'jobs'", [older])
        conn.execute("DELETE FROM schema_migrations WHERE number > 1")
        conn.commit()
    assert look(root) == "closed"


def test_a_missing_ledger_is_refused_and_not_made(root: Root) -> None:
    root.path.mkdir()
    with pytest.raises(LedgerMissingError), looking_at_ledger(root):
        pass
    assert list(root.path.iterdir()) == []


def test_garbage_is_refused_with_the_place_of_the_ledger(root: Root) -> None:
    create_ledger(root)
    root.ledger.write_bytes(b"\0" * 8192)
    with pytest.raises(LedgerCorruptError, match=str(root.ledger)), looking_at_ledger(root):
        pass


def test_a_disk_that_cannot_be_written_to_beside_it_is_no_reason_to_look_away(root: Root, tmp_path: Path) -> None:
    create_ledger(root)
    shutil.copy(root.ledger, tmp_path / "copy")
    root.path.chmod(0o500)
    try:
        assert look(root) == "closed"
    finally:
        root.path.chmod(0o700)
