"""`trajgen ingest openhands`: each row of runs made elsewhere once, and what has no verdict is not done."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from resources.instance import open_instance
from tests.faults import Points
from tests.roots import set_up_root
from tests.unit.openhands import twin
from trajgen_assets.cli.main import app
from trajgen_assets.core.errors import ImportRefusedError
from trajgen_assets.core.ledger.models import AttemptKind, TaskStatus
from trajgen_assets.core.ledger.store import open_ledger
from trajgen_assets.core.paths import Root
from trajgen_assets.core.rollout.trials import TrialEntry, load_trials
from trajgen_assets.names import TASKS, TRAJECTORIES

RESOLVED = {"resolved": True, "error_eval": False}
UNRESOLVED = {"resolved": False, "error_eval": False, "tests_passed": 3, "tests_failed": 1}
NOTHING_RAN = {"resolved": False, "error_eval": False, "tests_passed": 0, "tests_failed": 0, "tests_error": 0}


def graded(details: dict[str, Any], number: int, **changes: Any) -> dict[str, Any]:
    return twin.row(f"acme__cli-{number}", pilot2_eval_details=details, **changes)


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return set_up_root(tmp_path, "fern-1")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with one row of each kind."""
    folder = tmp_path / "elsewhere" / "outputs" / "d-train" / "CodeActAgent" / "m_maxiter_50"
    limit = "RuntimeError: Agent reached maximum iteration in headless mode. Current iteration: 50, max iteration: 50"
    sdk = twin.row("acme__cli-8", history=[{"kind": "MessageEvent", "id": "a"}])
    rows = [
        graded(RESOLVED, 1),
        graded(UNRESOLVED, 2),
        graded(NOTHING_RAN, 3),
        twin.row("acme__cli-4"),
        graded(RESOLVED, 5, error=limit),
        twin.timeout_row("acme__cli-6"),
        twin.row(""),
        graded(RESOLVED, 1),
        sdk,
    ]
    twin.write_rows(folder / "output.jsonl", *rows, tail='{"instance_id": "acme__cli-9", "test')
    return folder


def ingest(root: Root, *arguments: str | Path) -> Result:
    words = ["--root", str(root.path), "ingest", "openhands", *map(str, arguments), "--dataset", "msb"]
    return CliRunner().invoke(app, words, catch_exceptions=False)


def said(root: Root, *arguments: str | Path) -> dict[str, Any]:
    result = ingest(root, *arguments, "--json")
    assert result.exit_code == 0, result.output
    told: dict[str, Any] = json.loads(result.stdout)
    return told


def standing(root: Root) -> dict[str, tuple[TaskStatus, float | None, str | None]]:
    with open_ledger(root) as ledger:
        return {row.key.task_id[-1]: (row.status, row.reward, row.last_cause) for row in ledger.rows()}


def n_attempts(root: Root) -> int:
    with open_ledger(root) as ledger:
        return sum(len(ledger.attempts(row.key)) for row in ledger.rows())


def entries(root: Root) -> list[TrialEntry]:
    return [each for path in sorted(root.jobs.glob("openhands-*")) for each in load_trials(path / "trials.json").trials]


def test_each_row_is_taken_in_with_what_is_known_of_it(root: Root, run: Path) -> None:
    told = said(root, run.parents[3])
    assert (told["n_new"], told["n_known"], len(told["jobs"]), len(told["trials"])) == (6, 0, 1, 6)
    assert standing(root) == {
        "1": (TaskStatus.DONE, 1.0, None),
        "2": (TaskStatus.DONE, 0.0, None),
        "3": (TaskStatus.PENDING, None, "verifier"),
        "4": (TaskStatus.PENDING, None, "verifier"),
        "5": (TaskStatus.DONE, 1.0, None),
        "6": (TaskStatus.PENDING, None, "agent_budget"),
    }
    whys = sorted(why.partition(":")[0] for why in told["aside"].values())
    assert whys == ["duplicate", "empty_id", "other_harness", "torn"]
    assert {name.rpartition(":")[2] for name in told["aside"]} == {"7", "8", "9", "10"}


def test_the_files_of_a_trial_say_where_its_calls_and_its_verdict_are_from(root: Root, run: Path) -> None:
    said(root, run)
    job = root.job(next(root.jobs.glob("openhands-*")).name)
    first = next(each for each in entries(root) if each.task_id == "acme__cli-1")
    name = str(first.trial_name)
    assert first.note == "finished; resolved: the report says so"
    assert job.patch(name).read_text() == f"{twin.PATCH}\n"
    capture = json.loads(job.capture(name).read_bytes())
    assert capture["verdict"] == first.capture == "complete"
    assert capture["explanation"] == "ingested from history, seen by no proxy; 3 calls counted by OpenHands"
    records = [json.loads(line) for line in job.trajectory(name).read_bytes().splitlines()]
    assert [record["kept_by"] for record in records] == ["history"] * 3
    record = json.loads((job.trial(name) / "openhands.json").read_bytes())
    assert (record["row_class"], record["verdict"], record["run"]) == ("finished", "resolved", run.name)


def test_ingesting_twice_changes_nothing_wherever_the_rows_lie(root: Root, run: Path, tmp_path: Path) -> None:
    said(root, run)
    before = standing(root)
    again = said(root, run)
    assert (again["n_new"], again["n_known"], again["jobs"], again["trials"]) == (0, 6, [], [])
    moved = run.rename(tmp_path / "moved")
    assert said(root, moved)["n_known"] == 6
    assert standing(root) == before
    assert n_attempts(root) == 6


def test_rows_that_came_since_are_a_job_of_their_own(root: Root, run: Path) -> None:
    said(root, run)
    twin.write_rows(run.parent / "more" / "output.jsonl", graded(RESOLVED, 7))
    told = said(root, run.parent)
    assert (told["n_new"], told["n_known"], len(told["jobs"])) == (1, 6, 1)
    assert standing(root)["7"] == (TaskStatus.DONE, 1.0, None)


def test_a_row_without_a_verdict_is_taken_in_again_when_there_is_one(root: Root, run: Path) -> None:
    said(root, run)
    report = {"acme__cli-4": {"resolved": True, "patch_successfully_applied": True}}
    home = run / "eval_outputs" / "acme__cli-4"
    home.mkdir(parents=True)
    (home / "report.json").write_text(json.dumps(report))
    assert said(root, run)["n_new"] == 1
    assert standing(root)["4"] == (TaskStatus.DONE, 1.0, None)
    with open_ledger(root) as ledger:
        key = next(row.key for row in ledger.rows() if row.key.task_id == "acme__cli-4")
        kinds = [(each.ordinal, each.kind) for each in ledger.attempts(key)]
    assert kinds == [(1, AttemptKind.OUTSIDE), (2, AttemptKind.GRADED)]


def test_a_copy_of_a_graded_row_without_its_verdict_is_known(root: Root, run: Path, tmp_path: Path) -> None:
    said(root, run)
    twin.write_rows(tmp_path / "copy" / "output.jsonl", twin.row("acme__cli-1"))
    told = said(root, tmp_path / "copy")
    assert (told["n_new"], told["n_known"]) == (0, 1)
    assert n_attempts(root) == 6


def test_completions_go_before_the_history(root: Root, run: Path) -> None:
    folder = run / "llm_completions" / "acme__cli-1"
    seen = twin.result(twin.LOOK, "src tests, as the model saw it")
    twin.write_call(folder, 1.0, twin.asked(), twin.LOOK)
    twin.write_call(folder, 2.0, twin.asked(twin.said(twin.LOOK), seen), twin.EDIT)
    mended = twin.result(twin.EDIT, "done")
    twin.write_call(folder, 3.0, twin.asked(twin.said(twin.LOOK), seen, twin.said(twin.EDIT), mended), twin.FINISH)
    said(root, run)
    first = next(each for each in entries(root) if each.task_id == "acme__cli-1")
    path = next(root.jobs.glob("openhands-*")) / str(first.trajectory)
    assert b"as the model saw it" in path.read_bytes()
    assert first.capture == "complete"


def test_calls_that_the_harness_counted_and_did_not_keep_are_a_gap(root: Root, tmp_path: Path) -> None:
    lost = twin.metrics("gen-1", "gen-2", "gen-3", "gen-4")
    twin.write_rows(tmp_path / "run" / "output.jsonl", graded(RESOLVED, 1, metrics=lost))
    said(root, tmp_path / "run")
    assert standing(root) == {"1": (TaskStatus.PENDING, None, "capture")}
    [entry] = entries(root)
    assert (entry.accepted, entry.capture, entry.reward) == (False, "gap", None)
    assert "1 answer not kept" in (entry.note or "")


def test_dagster_shows_what_is_done_and_nothing_else(root: Root, run: Path) -> None:
    said(root, run)
    with open_instance(root) as instance:
        shown = instance.event_log_storage.get_materialized_partitions(TRAJECTORIES)
        assert shown == {"msb/acme__cli-1", "msb/acme__cli-2", "msb/acme__cli-5"}
        assert shown <= set(instance.get_dynamic_partitions(TASKS))


def test_a_dry_run_changes_nothing(root: Root, run: Path) -> None:
    told = said(root, run, "--dry-run")
    assert (told["n_new"], told["jobs"]) == (6, [])
    assert (standing(root), list(root.jobs.glob("*"))) == ({}, [])


def test_a_person_reads_counts_and_what_is_next(root: Root, run: Path) -> None:
    output = ingest(root, run).output
    told = "1 no_tests, 2 not_evaluated, 2 resolved, 1 unresolved; 0 rows known already, 4 lines put aside"
    assert f"6 new rows: {told}" in output
    assert "next: `trajgen convert`" in output


def test_a_folder_without_a_run_is_refused(root: Root, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["--root", str(root.path), "ingest", "openhands", str(tmp_path / "none")])
    assert result.exit_code != 0
    assert "no run of OpenHands lies there" in str(result.exception)


def test_rows_of_a_job_that_was_rolled_out_here_are_no_second_attempts(root: Root, run: Path) -> None:
    job = root.job("job-1")
    outputs = job.dir / "openhands" / "d-train"
    copytree(run, outputs)
    job.host.write_text("{}")
    for folder in (root.jobs, outputs):
        result = CliRunner().invoke(app, ["--root", str(root.path), "ingest", "openhands", str(folder)])
        assert isinstance(result.exception, ImportRefusedError)
        assert str(job.dir) in str(result.exception)
    assert n_attempts(root) == 0


def test_rows_without_a_verdict_are_not_said_to_become_training_data(root: Root, tmp_path: Path) -> None:
    twin.write_rows(tmp_path / "run" / "output.jsonl", twin.row("acme__cli-4"))
    output = ingest(root, tmp_path / "run").output
    assert "next: none of them has a verdict, so none becomes training data" in output


@pytest.mark.parametrize("point", ["after_replace", "job_built", "job_placed"])
def test_a_kill_in_the_middle_and_a_second_call_take_each_row_in_once(
    root: Root, run: Path, tmp_path: Path, point: str
) -> None:
    points = Points(tmp_path / "points")
    points.arm(point)
    words = [Path(sys.executable).with_name("trajgen"), "--root", root.path, "ingest", "openhands", run]
    killed = subprocess.Popen([*map(str, words), "--dataset", "msb"], env={**os.environ, **points.environ})
    os.kill(points.wait(point), signal.SIGKILL)
    killed.wait(30)
    told = said(root, run)
    assert told["aside"]
    assert n_attempts(root) == 6
    assert standing(root)["1"] == (TaskStatus.DONE, 1.0, None)
    assert len(list(root.jobs.glob("openhands-*"))) == 1
    assert list(root.jobs.glob(".openhands-*")) == []
    assert said(root, run)["n_new"] == 0


def test_a_job_that_was_placed_before_the_ledger_knew_is_taken_in_by_the_next_call(root: Root, run: Path) -> None:
    said(root, run)
    job = next(root.jobs.glob("openhands-*"))
    other = set_up_root(root.path.parent / "other", "fern-1")
    job.rename(other.jobs / job.name) if other.jobs.exists() else job.rename(_made(other.jobs) / job.name)
    told = said(other, run)
    assert (told["n_new"], told["n_known"], told["jobs"], len(told["trials"])) == (0, 6, [job.name], 6)
    assert n_attempts(other) == 6


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder
