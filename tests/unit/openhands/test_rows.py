"""`output.jsonl` as the harness leaves it, after kills too."""

import json
from pathlib import Path

import pytest

from tests.unit.openhands import twin
from trajgen_assets.core.errors import HarnessError
from trajgen_assets.core.openhands.rows import (
    Aside,
    OutputRow,
    RowClass,
    judge_row,
    listed_tests,
    output_of,
    read_output,
    remove_rows,
    repair,
)
from trajgen_assets.core.rollout.causes import Cause


def judged(**changes: object) -> tuple[RowClass, Cause | None]:
    verdict = judge_row(OutputRow.model_validate(twin.row(**changes)))
    return verdict.row_class, verdict.cause


def test_a_finished_row_has_its_patch_with_the_line_end_that_the_harness_cut_off() -> None:
    row = OutputRow.model_validate(twin.row())
    assert row.patch == twin.PATCH + "\n"
    assert judge_row(row).row_class is RowClass.FINISHED


def test_a_patch_of_nothing_is_empty_and_a_row_of_a_timeout_has_none() -> None:
    unchanged = OutputRow.model_validate(twin.row(test_result={"git_patch": "\n"}))
    ended = OutputRow.model_validate(twin.timeout_row())
    assert (unchanged.patch, unchanged.has_patch) == ("", True)
    assert (ended.patch, ended.has_patch) == ("", False)


@pytest.mark.parametrize(
    ("error", "row_class", "cause"),
    [
        (
            "RuntimeError: Agent reached maximum iteration in headless mode. Current iteration: 50, max iteration: 50",
            RowClass.ITERATION_LIMIT,
            None,
        ),
        ("AgentStuckInLoopError: Agent got stuck in a loop", RowClass.STUCK, None),
        (
            "RuntimeError: There was an unexpected error: RateLimitError: slow down",
            RowClass.ERROR,
            Cause.MODEL_PROVIDER,
        ),
        ("litellm.BadRequestError: max_tokens is too large: 64000", RowClass.ERROR, Cause.MODEL_PROVIDER),
        ("AgentRuntimeDisconnectedError: gone", RowClass.ERROR, Cause.SANDBOX),
        (
            "Maximum retries (3) reached: AgentRuntimeError: Container has exited",
            RowClass.RETRIES_EXCEEDED,
            Cause.SANDBOX,
        ),
        ("KeyError: 'x'", RowClass.ERROR, Cause.UNCLASSIFIED),
    ],
)
def test_an_error_is_classed_by_its_words(error: str, row_class: RowClass, cause: Cause | None) -> None:
    assert judged(error=error) == (row_class, cause)


def test_a_row_of_a_timeout_is_no_finished_work() -> None:
    verdict = judge_row(OutputRow.model_validate(twin.timeout_row()))
    assert (verdict.row_class, verdict.cause) == (RowClass.TIMEOUT, Cause.AGENT_BUDGET)
    assert verdict.note == "Timeout after 7200 seconds"


def test_a_row_without_history_and_error_is_no_finished_work() -> None:
    assert judged(history=None) == (RowClass.NO_RESULT, Cause.HARNESS)
    assert judged(test_result={}) == (RowClass.NO_RESULT, Cause.HARNESS)


def test_each_line_is_a_row_or_put_aside_with_its_reason() -> None:
    sdk = twin.row("acme__cli-9", history=[{"kind": "SystemPromptEvent", "id": "a"}], attempt=1)
    lines = [twin.row(), twin.row(""), twin.row(" "), twin.row(), sdk, ["no row"], {"test_result": {}}]
    data = "".join(f"{json.dumps(each)}\n" for each in lines) + '{"instance_id": "acme__cli-10", "test_re'
    output = output_of(data.encode())
    assert [row.instance_id for row in output.rows] == ["acme__cli-7"]
    assert [(each.line, each.why) for each in output.aside] == [
        (2, Aside.EMPTY_ID),
        (3, Aside.EMPTY_ID),
        (4, Aside.DUPLICATE),
        (5, Aside.OTHER_HARNESS),
        (6, Aside.NO_ROW),
        (7, Aside.NO_ROW),
        (8, Aside.TORN),
    ]
    assert output.is_torn


def test_a_row_of_the_sdk_is_refused_with_why() -> None:
    [aside] = output_of(json.dumps(twin.row(history=[{"kind": "MessageEvent"}])).encode()).aside
    assert "OpenHands SDK" in aside.detail


def test_rows_of_all_versions_are_rows_and_keep_what_others_added() -> None:
    older = twin.row("a__b-1", metadata={"agent_class": "CodeActAgent", "llm_config": {}})
    evaluated = twin.row("a__b-2", report={"resolved": True}, pilot2_eval_details={"resolved": True})
    output = output_of("\n".join(json.dumps(each) for each in (older, evaluated)).encode())
    assert len(output.rows) == 2
    assert output.rows[1].model_extra == {"report": {"resolved": True}, "pilot2_eval_details": {"resolved": True}}


def test_a_torn_last_line_is_taken_out_and_kept_beside_it(tmp_path: Path) -> None:
    path = twin.write_rows(tmp_path / "output.jsonl", twin.row(), tail='{"instance_id": "acm')
    assert repair(path) is True
    assert read_output(path).aside == []
    assert (tmp_path / "output.jsonl.torn").read_text() == '{"instance_id": "acm'
    assert repair(path) is False


def test_a_whole_last_row_without_its_line_end_is_kept_and_gets_it(tmp_path: Path) -> None:
    path = twin.write_rows(tmp_path / "output.jsonl", tail=json.dumps(twin.row()))
    assert repair(path) is False
    assert path.read_bytes().endswith(b"}\n")
    assert len(read_output(path).rows) == 1


def test_rows_to_be_run_again_are_taken_out_and_the_file_is_kept(tmp_path: Path) -> None:
    path = twin.write_rows(tmp_path / "output.jsonl", twin.row(), twin.timeout_row())
    before = path.read_bytes()
    assert remove_rows(path, ["acme__cli-8"]) == 1
    assert [row.instance_id for row in read_output(path).rows] == ["acme__cli-7"]
    assert (tmp_path / "output.jsonl.before-retry").read_bytes() == before
    assert remove_rows(path, ["acme__cli-8"]) == 0


def test_rows_that_are_not_there_are_an_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=r"output\.jsonl"):
        read_output(tmp_path / "output.jsonl")


@pytest.mark.parametrize(
    "value", ["['a', 'it\\'s']", '["a", "it\'s"]', ["a", "it's"], ("a", "it's"), json.dumps(["a", "it's"])]
)
def test_tests_are_read_from_the_text_of_python_and_of_json(value: object) -> None:
    assert listed_tests(value) == ["a", "it's"]


def test_no_tests_is_a_list_and_what_is_no_list_is_an_error() -> None:
    assert listed_tests("[]") == listed_tests("") == listed_tests(None) == []
    with pytest.raises(ValueError, match="no list of test names"):
        listed_tests("12")
