"""swegen's batch state: counted where it can be read, and said in words where it cannot."""

import json
import os
from pathlib import Path

import pytest

from trajgen_assets.core.intake.batch_state import BATCH_STATE, LOGS, read_batch_state


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "artifacts" / "swe_tasks" / "py-cc"
    (made / BATCH_STATE).mkdir(parents=True)
    return made


def write(folder: Path, name: str, cases: dict[str, str], *, at: int) -> Path:
    path = folder / BATCH_STATE / f"{name}.json"
    listed = {case: {"status": status} for case, status in cases.items()}
    path.write_text(json.dumps({"cases": listed, "total_elapsed_seconds": 60.5 * at}))
    os.utime(path, (at, at))
    return path


def test_cases_are_counted_by_status_and_the_newest_batch_has_the_last_word(folder: Path) -> None:
    write(folder, "older", {"o/r#1": "failed", "o/r#2": "success", "o/r#3": "filtered"}, at=10)
    write(folder, "newer", {"o/r#1": "success", "o/r#4": "pending", "o/r#5": "odd"}, at=20)
    found = read_batch_state(folder)
    assert (found.n_verified, found.n_failed, found.n_filtered, found.n_running, found.n_other) == (2, 0, 1, 1, 1)
    assert (found.last_batch, found.last_elapsed_s, found.problems) == ("newer.json", 1210.0, ())
    assert found.last_at is not None
    assert found.last_at.timestamp() == 20


def test_the_log_is_the_newest_where_swegen_writes_them(folder: Path) -> None:
    write(folder, "x", {}, at=1)
    assert read_batch_state(folder).log is None
    logs = folder.parents[1] / LOGS
    logs.mkdir(parents=True)
    for number, name in enumerate(("z.log", "a.log"), start=1):
        (logs / name).touch()
        os.utime(logs / name, (number, number))
    assert read_batch_state(folder).log == logs / "a.log"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "x.json cannot be read"),
        (b"[]", "x.json is no state of a batch"),
        (b'{"cases": []}', "x.json is no state of a batch"),
        (b"\xff", "x.json cannot be read"),
        (b"[" * 100_000, "x.json cannot be read"),
    ],
)
def test_a_broken_state_is_said_and_the_others_count(folder: Path, content: bytes, words: str) -> None:
    (folder / BATCH_STATE / "x.json").write_bytes(content)
    write(folder, "y", {"o/r#1": "success"}, at=5)
    found = read_batch_state(folder)
    assert found.n_verified == 1
    assert words in found.problems[0]


def test_the_time_of_an_older_batch_is_not_said_of_the_last_one(folder: Path) -> None:
    write(folder, "older", {"o/r#1": "success"}, at=1)
    (folder / BATCH_STATE / "last.json").write_bytes(b"{")
    found = read_batch_state(folder)
    assert (found.last_batch, found.last_elapsed_s, found.n_verified) == ("last.json", None, 1)


def test_a_state_that_leads_nowhere_keeps_no_other_back(folder: Path) -> None:
    write(folder, "y", {"o/r#1": "success"}, at=5)
    for name in ("a", "z"):  # before it, and behind it
        (folder / BATCH_STATE / f"{name}.json").symlink_to(folder / "gone")
    found = read_batch_state(folder)
    assert (found.n_verified, found.last_batch, found.problems) == (1, "y.json", ())


def test_cases_that_are_nothing_of_the_kind_count_as_unknown(folder: Path) -> None:
    (folder / BATCH_STATE / "x.json").write_text(
        '{"cases": {"a": null, "b": {"status": 3}, "c": {"status": "failed"}}}'
    )
    found = read_batch_state(folder)
    assert (found.n_failed, found.n_other) == (1, 2)


def test_no_state_is_said_too(tmp_path: Path) -> None:
    found = read_batch_state(tmp_path / "nowhere")
    assert found.problems == (f"there is no {BATCH_STATE}/*.json",)
    assert found.last_batch is None
