"""Bars that a trial or a row has to pass, each failing once for what it is and once for what cannot be told."""

from pathlib import Path
from typing import Any

import pytest

from tests.unit.sft.twin import FIRST_PROMPT, JobOnDisk, TerminusTwin, answer_text, lines_of, solved
from trajgen_assets.core.rollout.trials import TaskRecord
from trajgen_assets.core.sft.answers import Answers, holds_instruction
from trajgen_assets.core.sft.convert import convert_job
from trajgen_assets.core.sft.filters import Filter, Refusal, first_refusal
from trajgen_assets.core.sft.reasons import Reason
from trajgen_assets.core.sft.receipt import Receipt
from trajgen_assets.core.sft.settings import ConversionSettings


def converted(folder: Path, twin: TerminusTwin, settings: ConversionSettings | None = None, **changes: Any) -> Receipt:
    return convert_job(JobOnDisk(folder).add("a__x", twin, **changes).write(), settings or ConversionSettings())


def refusals(receipt: Receipt) -> list[tuple[str, str | None]]:
    found = [(each["reason"], each["detail"]) for each in lines_of(receipt.folder / "rejected.jsonl")]
    return [each for each in found if each[0] != "no_row_kept"]


def facts(receipt: Receipt) -> dict[str, Any]:
    (row,) = lines_of(receipt.im)
    return dict(row["meta_info"]["unique_info"])


def changed(turn: int, key: str, value: Any) -> TerminusTwin:
    """A solved trial in which one answer says something else of itself."""
    twin = solved()
    response = twin.records[turn]["response_body"]
    (response["choices"][0] if key == "finish_reason" else response)[key] = value
    return twin


def without(turn: int, key: str) -> TerminusTwin:
    twin = changed(turn, key, None)
    response = twin.records[turn]["response_body"]
    del (response["choices"][0] if key == "finish_reason" else response)[key]
    return twin


def test_the_first_filter_that_refuses_is_the_reason_and_what_cannot_be_told_is_one_of_its_own() -> None:
    filters: list[Filter[int]] = [
        Filter(Reason.TOO_SHORT, lambda n: n > 0, lambda n: f"{n} turns"),
        Filter(Reason.REASONING, lambda n: None if n > 5 else n > 1),
        Filter(Reason.LEAK, lambda n: n != 7),
    ]
    assert first_refusal(filters, 0) == Refusal(Reason.TOO_SHORT, "0 turns")
    assert first_refusal(filters, 1) == Refusal(Reason.REASONING)
    assert first_refusal(filters, 2) is None
    assert first_refusal(filters, 7) == Refusal(Reason.UNKNOWN, "reasoning")
    assert first_refusal(filters, 7, unknown="keep") == Refusal(Reason.LEAK)
    assert first_refusal(filters, 8, unknown="keep") is None


@pytest.mark.parametrize("reason", ["length", "max_tokens", None])
def test_a_turn_that_was_cut_off_anywhere_leaves_its_row_out(tmp_path: Path, reason: str | None) -> None:
    assert refusals(converted(tmp_path / "mid", changed(1, "finish_reason", reason))) == [("generation_cut", "1 turn")]
    assert refusals(converted(tmp_path / "end", changed(2, "finish_reason", reason))) == [("generation_cut", "1 turn")]


def test_an_answer_without_a_word_a_thought_or_a_call_leaves_its_row_out(tmp_path: Path) -> None:
    twin = solved()
    twin.records[-1]["response_body"]["choices"][0]["message"] = {"role": "assistant", "content": ""}
    ((reason, detail),) = refusals(converted(tmp_path, twin))
    assert (reason, str(detail).startswith("message ")) == ("empty_turn", True)


@pytest.mark.parametrize("reason", ["stop", "tool_calls", "end_turn"])
def test_a_turn_that_ended_by_itself_is_whole(tmp_path: Path, reason: str) -> None:
    assert facts(converted(tmp_path, changed(1, "finish_reason", reason)))["n_cut_turns"] == 0


def test_an_answer_that_says_nothing_of_its_end_is_unknown_and_kept_where_asked(tmp_path: Path) -> None:
    twin = without(1, "finish_reason")
    assert refusals(converted(tmp_path / "a", twin)) == [("unknown", "generation_cut")]
    assert facts(converted(tmp_path / "b", twin, ConversionSettings(unknown="keep")))["n_cut_turns"] is None


def test_an_answer_that_its_client_left_and_sent_back_is_cut(tmp_path: Path) -> None:
    twin = TerminusTwin().ask(FIRST_PROMPT, "half an ans", "t").ask("Go on.", answer_text("Done.", done=True), "t")
    twin.records[0] |= {"success": False, "client_disconnected": True}
    twin.records[0]["response_body"]["choices"][0]["finish_reason"] = None
    assert refusals(converted(tmp_path, twin)) == [("generation_cut", "1 turn")]


def test_a_row_of_two_models_has_no_one_teacher(tmp_path: Path) -> None:
    assert refusals(converted(tmp_path / "a", changed(1, "model", "other"))) == [("mixed_teacher", "other, served-v2")]
    assert facts(converted(tmp_path / "b", solved()))["teachers"] == ["served-v2"]


def test_a_model_that_is_asked_beside_the_work_mixes_nothing(tmp_path: Path) -> None:
    twin = solved()
    side = twin.call([{"role": "user", "content": "Briefly continue this task: x"}], "aside")
    side["response_body"]["model"] = "small"
    assert facts(converted(tmp_path, twin))["teachers"] == ["served-v2"]


def test_of_two_models_an_answer_of_neither_is_unknown() -> None:
    def response(text: str, model: str | None) -> dict[str, Any]:
        return {"model": model, "choices": [{"finish_reason": "stop", "message": {"content": text}}]}

    answers = Answers([response("a", "one"), response("b", "two"), response("c", None), response("a", "two")])
    assert answers.facts([said("a"), said("b")]) == {"n_cut_turns": 0, "teachers": ["two"]}
    assert answers.facts([said("a"), said("c")])["teachers"] is None
    assert answers.facts([said("a"), said("x")]) == {"n_cut_turns": None, "teachers": None}


def said(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


@pytest.mark.parametrize(
    "response", [{}, {"choices": []}, {"choices": 7}, {"choices": [7]}, {"choices": [{"message": {"tool_calls": 7}}]}]
)
def test_responses_of_any_shape_are_passed_over(response: dict[str, Any]) -> None:
    assert Answers([response]).facts([]) == {"n_cut_turns": 0, "teachers": []}


@pytest.mark.parametrize(
    ("texts", "instruction", "holds"),
    [
        (["Hello.\n\nFix  it\nnow, please."], "Fix it now,", True),
        (['"Fix \\"it\\" now"'], 'Fix "it" now', True),
        (["You are an agent.", "Fix it."], "Fix it.", True),
        (["Go on from the summary."], "Fix it.", False),
        ([], "Fix it.", False),
        (["Fix it."], " \n", None),
    ],
)
def test_an_instruction_is_found_however_it_is_spaced(texts: list[str], instruction: str, holds: bool | None) -> None:
    messages = [{"role": "user", "content": text} for text in texts]
    later = [{"role": "assistant", "content": "Hm."}, {"role": "user", "content": instruction}]
    assert holds_instruction([*messages, *later], instruction) is holds


def test_a_row_that_does_not_begin_with_its_task_is_left_out(tmp_path: Path) -> None:
    task = TaskRecord(digest="d", instruction="Write a poem.")
    assert refusals(converted(tmp_path / "a", solved(), task=task)) == [("first_turn", None)]
    assert converted(tmp_path / "b", solved(), ConversionSettings(first_turn="keep"), task=task).n_rows == 1


@pytest.mark.parametrize(
    ("status", "reward", "expected"),
    [
        ("ok", 1.0, []),
        ("redacted", 1.0, []),
        ("too_large", 1.0, []),
        ("empty", 1.0, [("no_change", None)]),
        ("failed", 1.0, [("unknown", "no_change")]),
        (None, 1.0, [("unknown", "no_change")]),
        ("empty", 0.0, []),
        (None, 0.0, []),
    ],
)
def test_a_task_that_is_solved_without_a_change_teaches_nothing(
    tmp_path: Path, status: str | None, reward: float, expected: list[tuple[str, str | None]]
) -> None:
    receipt = converted(
        tmp_path, solved(), ConversionSettings(instance_status="all"), patch_status=status, reward=reward
    )
    assert refusals(receipt) == expected


def test_a_patch_that_is_published_later_is_looked_at_then(tmp_path: Path) -> None:
    job = JobOnDisk(tmp_path).add("a__x", solved(), patch_status=None).write()
    assert convert_job(job, ConversionSettings()).n_rows == 0
    other = JobOnDisk(tmp_path / "other").add("a__x", solved()).write()
    job.patch_record("a__x").parent.mkdir()
    other.patch_record("a__x").rename(job.patch_record("a__x"))
    assert convert_job(job, ConversionSettings()).n_rows == 1


def test_of_rows_with_equal_messages_the_first_is_kept(tmp_path: Path) -> None:
    job = JobOnDisk(tmp_path).add("a__x", solved()).add("b__x", solved()).add("c__x", solved(None)).write()
    receipt = convert_job(job, ConversionSettings())
    assert refusals(receipt) == [("duplicate", "of a__x, conversation 0")]
    assert [row["meta_info"]["unique_info"]["trial"] for row in lines_of(receipt.im)] == ["a__x", "c__x"]
    assert receipt.sft_im.trials.rejected == {"no_row_kept": 1}


@pytest.mark.parametrize(
    ("status", "resolved_from", "kept"),
    [
        ("resolved", None, {1.0}),
        ("unresolved", None, {0.0}),
        ("all", None, {0.0, 0.5, 0.8, 1.0}),
        ("resolved", 0.8, {0.8, 1.0}),
        ("unresolved", 0.8, {0.0, 0.5}),
        ("all", 0.8, {0.0, 0.5, 0.8, 1.0}),
    ],
)
def test_partial_rewards_are_resolved_from_a_threshold_on(
    tmp_path: Path, status: Any, resolved_from: float | None, kept: set[float]
) -> None:
    job = JobOnDisk(tmp_path)
    for number, reward in enumerate((0.0, 0.5, 0.8, 1.0)):
        job.add(f"t{number}__x", solved(f"Look {number}."), reward=reward)
    receipt = convert_job(job.write(), ConversionSettings(instance_status=status, resolved_from=resolved_from))
    assert {row["meta_info"]["unique_info"]["reward"] for row in lines_of(receipt.im)} == kept


def test_facts_that_bars_look_at_stand_in_rejected_rows_too(tmp_path: Path) -> None:
    receipt = converted(tmp_path, changed(0, "finish_reason", "length"))
    (row,) = [each["row"] for each in lines_of(receipt.folder / "rejected.jsonl") if each["level"] == "row"]
    shown = row["meta_info"]["unique_info"]
    assert (shown["n_cut_turns"], shown["teachers"], shown["has_instruction"]) == (1, ["served-v2"], True)
