import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from trajgen_assets.core.dashboard.database import TABLES, write_database
from trajgen_assets.core.dashboard.facts.scene import looking_at
from trajgen_assets.core.errors import DashboardError
from trajgen_assets.core.ledger import open_ledger
from trajgen_assets.core.paths import Root
from trajgen_assets.core.redact import Redactor

NOTHING = Redactor({})


def asked(path: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as conn:
        return conn.execute(query).fetchall()


def test_it_adds_up_to_the_ledger(worked_root: Root, tmp_path: Path) -> None:
    file = tmp_path / "facts.sqlite"
    written = write_database(worked_root, file, NOTHING)
    with open_ledger(worked_root) as ledger:
        counts = ledger.check_balance()
    by_status = dict(asked(file, "SELECT status, count(*) FROM tasks GROUP BY status"))
    assert by_status == {name: n for name in ("pending", "running", "done", "skipped") if (n := getattr(counts, name))}
    assert written.n_rows["tasks"] == counts.registered
    with looking_at(worked_root) as scene:
        figures = scene.figures
    (row,) = asked(file, "SELECT count(*), avg(reward), sum(outcome = 'outside') FROM trials")
    mean = asked(file, "SELECT avg(reward) FROM trials WHERE accepted")[0][0]
    assert (row[0], mean, row[2]) == (figures.n_trials, pytest.approx(figures.mean_reward), figures.n_outside)
    assert asked(file, "SELECT sum(n_trials) FROM jobs") == [(figures.n_trials,)]


def test_every_column_says_what_it_is_and_every_trial_has_its_job(worked_root: Root, tmp_path: Path) -> None:
    file = tmp_path / "facts.sqlite"
    write_database(worked_root, file, NOTHING)
    described = set(asked(file, "SELECT tbl, name FROM columns WHERE meaning <> ''"))
    assert described == {(table, name) for table, columns in TABLES.items() for name in columns}
    assert asked(file, "PRAGMA foreign_key_check") == []


def test_it_holds_no_known_secret(worked_root: Root, tmp_path: Path) -> None:
    file = tmp_path / "facts.sqlite"
    write_database(worked_root, file, Redactor({"KEY": "its tests need the network"}))
    assert b"its tests need the network" not in file.read_bytes()
    assert asked(file, "SELECT DISTINCT note FROM tasks WHERE status = 'skipped'") == [("<redacted:KEY>",)]


def test_it_takes_the_place_of_an_earlier_one_and_of_nothing_else(worked_root: Root, tmp_path: Path) -> None:
    file, other = tmp_path / "facts.sqlite", tmp_path / "thesis.txt"
    write_database(worked_root, file, NOTHING)
    before = file.stat().st_ino
    write_database(worked_root, file, NOTHING)
    assert file.stat().st_ino != before
    other.write_text("mine")
    for mine in (other, worked_root.ledger):
        with pytest.raises(DashboardError, match="another file"):
            write_database(worked_root, mine, NOTHING)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["facts.sqlite", "thesis.txt"]


def test_a_folder_is_no_file_to_write(worked_root: Root, tmp_path: Path) -> None:
    with pytest.raises(DashboardError, match="a folder is in the place of a file"):
        write_database(worked_root, tmp_path, NOTHING)
