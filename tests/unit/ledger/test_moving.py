"""A ledger that moves to a server: nothing is lost on the way, and it is never in two places."""

import os
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.faults import Points
from tests.postgres import Cluster
from tests.unit.ledger.test_kills import kill_at
from tests.unit.ledger.twins import graded, listed, register, settle, start
from trajgen_assets.core.errors import LedgerCorruptError, LedgerError, LedgerMovedError
from trajgen_assets.core.faults import FAULTS_ENV
from trajgen_assets.core.ledger import Ledger, create_ledger, open_ledger
from trajgen_assets.core.ledger.looking import looking_at_ledger
from trajgen_assets.core.ledger.moving import copy_to_file, is_sealed, move_to_server
from trajgen_assets.core.ledger.place import server_at
from trajgen_assets.core.ledger.schema import metadata
from trajgen_assets.core.paths import LEDGER_URL_ENV, Root

Content = dict[str, list[tuple[object, ...]]]


def content(ledger: Ledger) -> Content:
    """All rows of all tables, but for what the ledger says of itself."""
    with ledger.store.read() as conn:
        return {
            table.name: sorted((tuple(row) for row in conn.execute(sa.select(table))), key=repr)
            for table in metadata.sorted_tables
            if table.name != "meta"
        }


def move(root: Root, url: str) -> None:
    move_to_server(root, server_at(root, url))


def move_in_child(root: Path, points: Path, url: str) -> None:
    os.environ[FAULTS_ENV] = str(points)
    move(Root(root), url)


@pytest.fixture
def url(postgres: Cluster, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("PGPASSWORD", postgres.password)
    return postgres.new_database()


def test_every_row_is_there_and_numbers_go_on(filled: Root, url: str) -> None:
    with open_ledger(filled) as ledger:
        before, highest = content(ledger), ledger.rows()[-1].position
    moved = move_to_server(filled, server_at(filled, url))
    assert moved["tasks"].n_rows == len(before["tasks"])
    with open_ledger(filled) as ledger:
        assert content(ledger) == before
        ledger.check_balance()
        register(ledger, *"abcdefgh", "new")
        assert ledger.rows()[-1].position == highest + 1
        settle(ledger, start(ledger, "later", "run-9", "new"), "new", graded("new__1"))


def test_what_had_the_ledger_before_refuses_readers_and_writers_also_those_who_have_it_open(
    filled: Root,
    url: str,
) -> None:
    with open_ledger(filled) as held:
        move(filled, url)
        with pytest.raises(LedgerMovedError, match="moved to a server meanwhile"):
            held.skip([held.rows()[0].key], "too late")
        with pytest.raises(LedgerMovedError, match="moved to a server meanwhile"):
            register(held, "late")
    filled.ledger_place.unlink()
    for opening in (open_ledger, looking_at_ledger):
        with pytest.raises(LedgerMovedError, match=r"it is at postgresql.*migrate --to"), opening(filled):
            pass
    assert not create_ledger(filled)  # nor is another one made


def test_a_root_that_lost_its_note_of_the_place_finds_it_again(filled: Root, url: str) -> None:
    move(filled, url)
    with open_ledger(filled) as ledger:
        register(ledger, listed("later"))
    filled.ledger_place.unlink()
    move(filled, url)
    with open_ledger(filled) as ledger:
        assert ledger.counts().registered == 9


@pytest.mark.parametrize("point", ["before_commit", "after_copy"])
def test_killed_before_it_is_sealed_the_file_is_the_ledger(
    filled: Root,
    url: str,
    points: Points,
    point: str,
) -> None:
    kill_at(point, points, move_in_child, filled.path, points.folder, url)
    there = Root(filled.path.with_name("other"), ledger_url=url)
    with pytest.raises(LedgerError):
        open_ledger(there)
    with open_ledger(filled) as ledger:
        register(ledger, listed("meanwhile"), whole=False)
        before = content(ledger)
    assert not is_sealed(filled)
    move(filled, url)
    with open_ledger(filled) as ledger:
        assert content(ledger) == before


@pytest.mark.parametrize("point", ["after_seal", "before_place"])
def test_killed_after_it_is_sealed_neither_opens_until_the_move_is_finished(
    filled: Root,
    url: str,
    points: Points,
    point: str,
    postgres: Cluster,
) -> None:
    with open_ledger(filled) as ledger:
        before = content(ledger)
    kill_at(point, points, move_in_child, filled.path, points.folder, url)
    with pytest.raises(LedgerMovedError):
        open_ledger(filled)
    if point == "after_seal":
        with pytest.raises(LedgerCorruptError, match="was not finished"):
            create_ledger(Root(filled.path.with_name("other"), ledger_url=url))
    with pytest.raises(LedgerError, match="name the database that does"):
        move(filled, postgres.new_database())
    move(filled, url)
    with open_ledger(filled) as ledger:
        assert content(ledger) == before


def test_a_database_that_has_a_ledger_is_not_written_over(filled: Root, url: str) -> None:
    create_ledger(Root(filled.path.with_name("other"), ledger_url=url))
    with pytest.raises(LedgerError, match="nothing replaces"):
        move(filled, url)
    open_ledger(filled).close()
    assert not is_sealed(filled)


def test_a_ledger_is_moved_once(filled: Root, url: str, postgres: Cluster) -> None:
    move(filled, url)
    with pytest.raises(LedgerError, match="on a server already"):
        move(filled, postgres.new_database())
    filled.ledger.unlink()  # as a root whose ledger was made on a server has none
    with pytest.raises(LedgerError, match="on a server already"):
        is_sealed(filled)


def test_notes_with_characters_that_only_sqlite_holds_are_moved(filled: Root, url: str) -> None:
    with open_ledger(filled) as ledger, ledger.store.write() as conn:
        conn.exec_driver_sql("UPDATE tasks SET note = 'a' || char(0) || 'b' WHERE task_id = 'a'")
        conn.exec_driver_sql("UPDATE jobs SET host = ? ", ("h" * 400,))
    move(filled, url)
    with open_ledger(filled) as ledger:
        assert ledger.rows()[0].note == "a\ufffdb"
        assert {job.host for job in ledger.jobs()} == {"h" * 400}


def test_a_ledger_on_a_server_is_copied_into_a_file_that_a_root_can_begin_with(
    filled: Root,
    url: str,
    tmp_path: Path,
) -> None:
    move(filled, url)
    back = Root(tmp_path / "back")
    back.path.mkdir()
    copy_to_file(filled, back.ledger)
    assert [each.name for each in back.path.iterdir()] == ["ledger.sqlite"]
    with open_ledger(filled) as there, open_ledger(back) as here:
        assert content(here) == content(there)
        register(here, *"abcdefgh", "new")


def test_the_environment_may_name_the_server_before_the_move(filled: Root, url: str) -> None:
    named = Root(filled.path, ledger_url=url)
    with pytest.raises(LedgerError, match=LEDGER_URL_ENV):
        open_ledger(named)
    move(filled, url)
    with closing(open_ledger(named)) as ledger:
        ledger.check_balance()
