"""Every run leaves one archive entry with a truthful status, and two never share a number."""

import multiprocessing
from pathlib import Path

import pytest
import yaml

from trajgen_assets.core.errors import EndpointError, TrajgenError
from trajgen_assets.core.paths import Root
from trajgen_assets.core.report.archive import ArchiveEntry, archived


def index_of(root: Root) -> list[dict[str, str]]:
    runs: list[dict[str, str]] = yaml.safe_load(root.index.read_text())["runs"]
    return runs


def test_a_run_that_breaks_is_archived_as_failed(tmp_path: Path) -> None:
    root = Root(tmp_path)
    with pytest.raises(ZeroDivisionError), archived(root, job="j", owner="r", config={}):
        _ = 1 / 0
    assert [(row["id"], row["status"]) for row in index_of(root)] == [("run_001", "failed")]


def test_an_interrupt_is_archived_as_interrupted_with_its_exit_code(tmp_path: Path) -> None:
    root = Root(tmp_path)
    with pytest.raises(KeyboardInterrupt), archived(root, job="j", owner="r", config={}):
        raise KeyboardInterrupt
    metadata = yaml.safe_load((root.archives / "run_001" / "metadata.yaml").read_text())
    assert (metadata["status"], metadata["exit_code"]) == ("interrupted", 130)


def test_a_refusal_keeps_its_reason(tmp_path: Path) -> None:
    root = Root(tmp_path)
    with pytest.raises(EndpointError), archived(root, job="j", owner="r", config={}) as entry:
        _refuse(entry)
    assert index_of(root)[0]["status"] == "refused"
    assert "out of reach" in index_of(root)[0]["notes"]


def test_an_index_that_is_not_one_is_refused_and_left_alone(tmp_path: Path) -> None:
    root = Root(tmp_path)
    root.index.write_text("just text\n")
    with pytest.raises(TrajgenError, match=r"index\.yaml"), archived(root, job="j", owner="r", config={}):
        pass
    assert root.index.read_text() == "just text\n"


def _refuse(entry: ArchiveEntry) -> None:
    entry.status = "refused"
    raise EndpointError("the model endpoint is out of reach", where="http://x")


def _archive_one(folder: Path) -> None:
    with archived(Root(folder), job="j", owner="r", config={"a": 1}) as entry:
        entry.status = "completed"


def test_jobs_that_end_together_get_different_numbers(tmp_path: Path) -> None:
    processes = [multiprocessing.get_context("spawn").Process(target=_archive_one, args=(tmp_path,)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    ids = [row["id"] for row in index_of(Root(tmp_path))]
    assert sorted(ids) == ["run_001", "run_002", "run_003", "run_004"]
    assert len(list(Root(tmp_path).archives.glob("run_*"))) == 4


def _refuse_in(root: Root, job: str, outage: str) -> None:
    with archived(root, job=job, owner="r", config={}) as entry:
        entry.outage = outage
        _refuse(entry)


def test_runs_that_one_outage_refuses_share_one_entry_with_a_count(tmp_path: Path) -> None:
    root = Root(tmp_path)
    for job, outage in (("j1", "d since 1"), ("j2", "d since 1"), ("j3", "d since 2"), ("j4", "d since 1")):
        with pytest.raises(EndpointError):
            _refuse_in(root, job, outage)
    rows = {row["outage"]: (row["id"], row["job"], row["n_runs"]) for row in index_of(root)}
    assert rows == {"d since 2": ("run_002", "j3", 1), "d since 1": ("run_001", "j4", 3)}
    assert len(list(root.archives.glob("run_*"))) == 2


def test_a_run_that_an_outage_ends_after_trials_ran_has_an_entry_of_its_own(tmp_path: Path) -> None:
    root = Root(tmp_path)
    for _ in range(2):
        with archived(root, job="j", owner="r", config={}) as entry:
            entry.outage, entry.status = "d since 1", "failed"
    assert [row.get("outage") for row in index_of(root)] == [None, None]
