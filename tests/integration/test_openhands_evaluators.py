"""Evaluators as programs, on the stand-in of OpenHands and of Multi-SWE-bench: what is believed, and what is not."""

from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.openhands_checkout.making import StandIn, row
from tests.waiting import wait_until
from trajgen_assets.core.openhands.evaluation import Evaluation, EvaluationClass
from trajgen_assets.core.openhands.evaluators import Bench, EvaluatorName, Handed, begin_evaluation
from trajgen_assets.core.openhands.reports import found_evaluation
from trajgen_assets.core.openhands.rows import OutputRow

ID = "acme__greeter-1"
PATCH = (
    "diff --git a/greeting.txt b/greeting.txt\n--- a/greeting.txt\n+++ b/greeting.txt\n@@ -1 +1 @@\n-hallo\n+hello\n"
)
WRONG = PATCH.replace("+hello", "+guten tag")


@pytest.fixture
def bench(stand_in: StandIn) -> Bench:
    return Bench(stand_in.python, Path(stand_in.url), timeout_s=60)


def handed(patch: str = PATCH, instance_id: str = ID, image: str = "", **asked: Any) -> Handed:
    done = {"instance_id": instance_id, "test_result": {"git_patch": patch}}
    return Handed(instance_id, patch, done, row(instance_id, **asked), image)


def verdict(name: EvaluatorName, bench: Bench, given: Handed, folder: Path) -> Evaluation:
    running = begin_evaluation(name, bench, given, folder)
    if isinstance(running, Evaluation):
        return running
    found: list[Evaluation] = []

    def is_over() -> bool:
        found.extend([each] if (each := running.poll()) else [])
        return bool(found)

    wait_until(is_over)
    return found[0]


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("msb", handed(), (EvaluationClass.RESOLVED, 1.0)),
        ("msb", handed(WRONG), (EvaluationClass.UNRESOLVED, 0.0)),
        ("msb", handed(graded="incomplete"), (EvaluationClass.INCOMPLETE, None)),
        ("msb", handed(graded="invalid"), (EvaluationClass.NO_TESTS, None)),
        ("msb", handed(graded="dies"), (EvaluationClass.EVAL_ERROR, None)),
        ("velora", handed(), (EvaluationClass.RESOLVED, 1.0)),
        ("velora", handed(WRONG), (EvaluationClass.UNRESOLVED, 0.0)),
        ("velora", handed(graded="no_apply"), (EvaluationClass.PATCH_FAILED, 0.0)),
        ("velora", handed(graded="no_tests"), (EvaluationClass.NO_TESTS, None)),
        ("velora", handed(graded="error"), (EvaluationClass.EVAL_ERROR, None)),
        ("velora", handed(image="mswebench/acme_m_greeter:pr-1"), (EvaluationClass.RESOLVED, 1.0)),
        ("velora", handed(WRONG, image="x"), (EvaluationClass.UNRESOLVED, 0.0)),
        ("velora", handed(image="x", graded="no_tests"), (EvaluationClass.NO_TESTS, None)),
        ("velora", handed(image="x", graded="timeout"), (EvaluationClass.TIMEOUT, None)),
        ("velora", handed(image="x", graded="dies"), (EvaluationClass.EVAL_ERROR, None)),
    ],
)
def test_a_report_gives_1_or_0_or_nothing(
    tmp_path: Path,
    bench: Bench,
    name: EvaluatorName,
    given: Handed,
    expected: tuple[EvaluationClass, float | None],
) -> None:
    found = verdict(name, bench, given, tmp_path / "evaluation")
    assert (found.found, found.reward) == expected, found.why


def test_nothing_runs_for_an_empty_patch_for_no_evaluator_and_for_an_id_that_cannot_be_taken(
    tmp_path: Path, bench: Bench
) -> None:
    folder = tmp_path / "evaluation"
    assert verdict("msb", bench, handed("\n"), folder).found is EvaluationClass.EMPTY_PATCH
    assert verdict("none", bench, handed(), folder).found is EvaluationClass.NOT_EVALUATED
    assert verdict("msb", bench, handed(instance_id="odd-7"), folder).found is EvaluationClass.ABSENT
    assert not folder.exists()


def test_exit_code_0_without_a_report_is_no_verdict(tmp_path: Path, bench: Bench) -> None:
    (tmp_path / "python").write_text("#!/bin/sh\necho all good\n")
    (tmp_path / "python").chmod(0o755)
    silent = Bench(tmp_path / "python", bench.checkout, timeout_s=60)
    for name in ("msb", "velora"):
        found = verdict(name, silent, handed(), tmp_path / "evaluation")
        assert found.found is EvaluationClass.EVAL_ERROR
        assert found.why == "the evaluator ended with exit code 0 and left no report: all good"


def test_a_report_of_an_earlier_patch_is_not_taken_for_this_one(tmp_path: Path, bench: Bench) -> None:
    assert verdict("msb", bench, handed(), tmp_path / "evaluation").reward == 1.0
    assert verdict("msb", bench, handed(graded="dies"), tmp_path / "evaluation").reward is None


def test_an_evaluator_that_is_out_of_time_is_ended_with_all_of_its_group(tmp_path: Path, bench: Bench) -> None:
    (tmp_path / "python").write_text(f"#!/bin/sh\nsleep 600 &\necho $! > {tmp_path}/child\nwait\n")
    (tmp_path / "python").chmod(0o755)
    hanging = Bench(tmp_path / "python", bench.checkout, timeout_s=0.5)
    found = verdict("velora", hanging, handed(), tmp_path / "evaluation")
    assert (found.found, found.reward) == (EvaluationClass.TIMEOUT, None)
    assert not psutil.pid_exists(int((tmp_path / "child").read_text())) or _is_zombie(tmp_path / "child")


def _is_zombie(path: Path) -> bool:
    return psutil.Process(int(path.read_text())).status() == psutil.STATUS_ZOMBIE


def test_reports_that_an_evaluation_left_beside_the_rows_are_read(tmp_path: Path, bench: Bench) -> None:
    given = handed()
    verdict("velora", bench, given, tmp_path / "run")
    done = OutputRow.model_validate(given.row)
    assert found_evaluation(tmp_path / "run", done).reward == 1.0
    verdict("msb", bench, given, tmp_path / "msb")
    (tmp_path / "other" / "eval_files").mkdir(parents=True)
    (tmp_path / "msb" / "output").rename(tmp_path / "other" / "eval_files" / "dataset")
    (tmp_path / "msb" / "workdir").rename(tmp_path / "other" / "eval_files" / "workdir")
    found = found_evaluation(tmp_path / "other", done)
    assert (found.reward, found.why) == (1.0, "1 tests ran")
    assert found_evaluation(tmp_path / "none", done).found is EvaluationClass.NOT_EVALUATED
