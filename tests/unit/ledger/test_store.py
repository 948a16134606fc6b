import dataclasses
import multiprocessing
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from tests.unit.ledger.twins import register
from trajgen_assets.core.errors import BusyError, LedgerCorruptError, LedgerError, LedgerMissingError
from trajgen_assets.core.ledger import JobRow, TaskRow, create_ledger, open_ledger, schema
from trajgen_assets.core.ledger.models import AttemptRow, Breaker, ManifestRow
from trajgen_assets.core.paths import Root


def sql(root: Root, *statements: str) -> None:
    with sqlite3.connect(root.ledger) as conn:
        for each in statements:
            conn.execute(each)
    conn.close()


def test_a_missing_ledger_is_an_error_that_names_setup(root: Root) -> None:
    with pytest.raises(LedgerMissingError, match="trajgen setup"):
        open_ledger(root)
    assert not root.ledger.exists()


def test_a_missing_ledger_beside_jobs_is_not_made_anew(root: Root) -> None:
    (root.jobs / "job-1").mkdir(parents=True)
    with pytest.raises(LedgerMissingError, match="put the ledger back from a copy"):
        open_ledger(root)


@pytest.mark.parametrize("content", [b"", b"SQLite", b"runs: []\n", b"SQLite format 3\0" + b"x" * 5000])
def test_a_file_that_is_no_database_is_refused(root: Root, content: bytes) -> None:
    root.path.mkdir()
    root.ledger.write_bytes(content)
    with pytest.raises(LedgerCorruptError, match="Mend"):
        open_ledger(root)
    assert root.ledger.read_bytes() == content


def test_another_programs_database_is_refused(root: Root) -> None:
    root.path.mkdir()
    sql(root, "CREATE TABLE notes (text)")
    with pytest.raises(LedgerCorruptError, match="not a ledger"):
        open_ledger(root)


def test_a_damaged_page_is_found_at_opening(root: Root) -> None:
    create_ledger(root)
    with open_ledger(root) as ledger:
        register(ledger, *(f"task-{n}" for n in range(2000)))
    data = bytearray(root.ledger.read_bytes())
    for page in range(len(data) // 4096 // 2, len(data) // 4096 // 2 + 8):
        data[page * 4096 : page * 4096 + 64] = os.urandom(64)
    root.ledger.write_bytes(data)
    with pytest.raises(LedgerCorruptError, match="Mend"):
        open_ledger(root)


def test_damage_under_an_open_ledger_is_refused_where_it_is_touched(root: Root) -> None:
    create_ledger(root)
    with open_ledger(root) as ledger:
        register(ledger, *(f"task-{n}" for n in range(2000)))
    with open_ledger(root) as ledger:
        data = bytearray(root.ledger.read_bytes())
        for page in range(1, len(data) // 4096):
            data[page * 4096 : page * 4096 + 64] = os.urandom(64)
        with root.ledger.open("r+b") as file:
            file.write(data)
        with pytest.raises(LedgerCorruptError, match="Mend"):
            ledger.rows()
        with pytest.raises(LedgerCorruptError, match="Mend"):
            open_ledger(root)


def test_a_ledger_that_another_process_damaged_since_the_last_look_is_refused(root: Root) -> None:
    create_ledger(root)
    with open_ledger(root) as ledger:
        register(ledger, *(f"task-{n}" for n in range(2000)))
    open_ledger(root).close()  # found whole, and not written to since
    with root.ledger.open("r+b") as file:
        file.seek(root.ledger.stat().st_size // 2)
        file.write(os.urandom(8 * 4096))
    with pytest.raises(LedgerCorruptError, match="Mend"):
        open_ledger(root)


def test_a_truncated_database_is_refused(root: Root) -> None:
    create_ledger(root)
    os.truncate(root.ledger, root.ledger.stat().st_size // 2 // 4096 * 4096)
    with pytest.raises(LedgerCorruptError):
        open_ledger(root)


def test_a_newer_schema_is_refused_and_left_alone(root: Root) -> None:
    create_ledger(root)
    sql(root, "INSERT INTO schema_migrations VALUES (99, 'to come', '2030-01-01')")
    with pytest.raises(LedgerCorruptError, match="schema version 99, this program knows 4"):
        open_ledger(root)


@pytest.mark.parametrize(
    "harm",
    [
        "DELETE FROM schema_migrations",
        "DROP TABLE schema_migrations",
        "DROP TABLE attempts",
        "ALTER TABLE tasks DROP COLUMN note",
    ],
)
def test_a_half_written_ledger_is_refused(root: Root, harm: str) -> None:
    create_ledger(root)
    sql(root, harm)
    with pytest.raises(LedgerCorruptError, match="half-written"):
        open_ledger(root)


def test_a_locked_ledger_is_busy_and_not_empty(root: Root) -> None:
    create_ledger(root)
    holder = sqlite3.connect(root.ledger, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with open_ledger(root, busy_timeout_s=0.1) as ledger, pytest.raises(BusyError, match="locked"):
        register(ledger, "task-1")
    holder.close()


def write_as_nobody(path: Path, said: "multiprocessing.Queue[str]") -> None:
    if os.geteuid() == 0:
        os.seteuid(65534)  # root may write anything
    try:
        with open_ledger(Root(path)) as ledger:
            register(ledger, "task-1")
    except LedgerError as error:
        said.put(str(error))


def test_a_ledger_that_cannot_be_written_is_said_so() -> None:
    spawn = multiprocessing.get_context("spawn")
    said: multiprocessing.Queue[str] = spawn.Queue()
    with tempfile.TemporaryDirectory() as name:
        root = Root(Path(name))
        create_ledger(root)
        root.ledger.chmod(0o444)
        root.path.chmod(0o555)
        child = spawn.Process(target=write_as_nobody, args=(root.path, said))
        child.start()
        answer = said.get(timeout=60)
        child.join(10)
        root.path.chmod(0o755)
    assert "its disk has room and can be written" in answer


def test_creating_leaves_an_existing_ledger_as_it_is(root: Root) -> None:
    assert create_ledger(root)
    with open_ledger(root) as ledger:
        register(ledger, "task-1")
    assert not create_ledger(root)
    with open_ledger(root) as ledger:
        assert ledger.counts().registered == 1


def test_creating_leaves_one_whole_file_and_nothing_else(root: Root) -> None:
    create_ledger(root)
    assert [each.name for each in root.path.iterdir()] == ["ledger.sqlite"]


@pytest.mark.parametrize("what", ["job", "archive", "view", "dagster", "dagster, asked"])
def test_an_empty_ledger_is_not_made_beside_earlier_work(root: Root, what: str) -> None:
    root.path.mkdir()
    if what == "job":
        (root.jobs / "job-1").mkdir(parents=True)
    elif what == "archive":
        (root.archives / "run_001").mkdir(parents=True)
    elif what == "view":
        root.ledger_view.write_text("runs: []\n")
    known: bool | Callable[[], bool] = (lambda: True) if what == "dagster, asked" else what == "dagster"
    with pytest.raises(LedgerError, match="put the ledger back from a copy"):
        create_ledger(root, has_materializations=known)
    assert not root.ledger.exists()


def test_an_import_may_make_the_ledger_beside_earlier_work(root: Root) -> None:
    (root.jobs / "job-1").mkdir(parents=True)
    assert create_ledger(root, importing=True)


def test_empty_folders_and_hidden_files_are_no_earlier_work(root: Root) -> None:
    root.archives.mkdir(parents=True)
    root.jobs.mkdir()
    (root.jobs / ".gitkeep").touch()
    assert create_ledger(root, has_materializations=lambda: False)


def test_the_log_of_a_lost_ledger_is_never_joined_to_a_new_one(root: Root) -> None:
    root.path.mkdir()
    Path(f"{root.ledger}-wal").write_bytes(b"frames")
    with pytest.raises(LedgerError, match="only its log is left"):
        create_ledger(root, importing=True)


def create_in_child(path: Path, made: "multiprocessing.Queue[bool]") -> None:
    made.put(create_ledger(Root(path)))


def test_of_two_that_create_at_once_only_one_does(root: Root) -> None:
    spawn = multiprocessing.get_context("spawn")
    made: multiprocessing.Queue[bool] = spawn.Queue()
    children = [spawn.Process(target=create_in_child, args=(root.path, made)) for _ in range(3)]
    for each in children:
        each.start()
    assert sorted(made.get(timeout=60) for _ in children) == [False, False, True]
    for each in children:
        each.join(10)
    open_ledger(root).close()


def test_a_copy_of_the_file_alone_is_a_whole_ledger_once_closed(root: Root, tmp_path: Path) -> None:
    create_ledger(root)
    with open_ledger(root) as ledger:
        register(ledger, "task-1")
    other = Root(tmp_path / "other")
    other.path.mkdir()
    shutil.copy(root.ledger, other.ledger)
    with open_ledger(other) as ledger:
        assert ledger.counts().registered == 1


def test_the_store_is_as_durable_as_promised(root: Root) -> None:
    create_ledger(root)
    with open_ledger(root) as ledger, ledger.store.read() as conn:
        found = [
            conn.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    assert found == ["wal", 2, 1]


@pytest.mark.parametrize(
    ("row", "table"),
    [
        (TaskRow, schema.tasks),
        (JobRow, schema.jobs),
        (AttemptRow, schema.attempts),
        (Breaker, schema.breakers),
        (ManifestRow, schema.manifests),
    ],
)
def test_rows_have_the_fields_of_their_tables_in_order(row: Any, table: sa.Table) -> None:
    assert [field.name for field in dataclasses.fields(row)] == [column.name for column in table.columns]


def test_the_schema_can_be_said_to_postgres() -> None:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    steps: list[Any] = []
    for table in schema.metadata.sorted_tables:
        steps += [sa.schema.CreateTable(table), *map(sa.schema.CreateIndex, table.indexes)]
    said = "\n".join(str(each.compile(dialect=dialect)) for each in steps)
    assert "WHERE accepted" in said
    assert "AUTOINCREMENT" not in said
