"""A judge's answer is taken only if it is exactly of the form that was asked for."""

import json
from typing import Any

import pytest

from trajgen_assets.core.sft.judge.answers import UnusableAnswerError, fixed_score, made_checks, made_score
from trajgen_assets.core.sft.judge.checks import FIXED, MADE_CATEGORIES
from trajgen_assets.core.sft.judge.prompts import MadeCheck

NAMES = [name for _, name, _ in FIXED]
MADE = [MadeCheck("c01", "verification", "Are tests run?"), MadeCheck("c02", "implementation", "Is it mended?")]


def scores(value: Any = 3, **changes: Any) -> str:
    return json.dumps({"scores": dict.fromkeys(NAMES, value) | changes})


def verdicts(one: Any = 1, other: Any = 0, evidence: Any = ()) -> str:
    given = {"c01": {"pass": one, "evidence": list(evidence)}, "c02": {"pass": other, "evidence": []}}
    return json.dumps({"verdicts": given})


def listed(n: int, **changes: Any) -> str:
    return json.dumps(
        {"checks": [{"category": "verification", "check": f"Check {number}"} | changes for number in range(n)]}
    )


@pytest.mark.parametrize(("value", "share"), [(1, 0.0), (3, 0.5), (5, 1.0)])
def test_the_lowest_of_all_marks_is_0_and_the_highest_1(value: int, share: float) -> None:
    score = fixed_score(scores(value))
    assert score["llm_composite_score"] == score["llm_understanding_score"] == share
    assert list(score["llm_checks"]) == NAMES


def test_a_category_is_the_mean_of_its_checks_and_the_composite_that_of_the_categories() -> None:
    score = fixed_score(scores(1, diagnosis=5, scope=3))
    assert score["llm_understanding_score"] == 0.5
    assert score["llm_composite_score"] == 0.1
    assert len([name for name in score if name.endswith("_score")]) == 6


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Fine work: 5.",
        "[]",
        "null",
        "{}",
        '{"scores": [1]}',
        '{"scores": {}}',
        scores(3)[:-1],
        scores(3) + " That is all.",
        scores(3, diagnosis=0),
        scores(3, diagnosis=6),
        scores(3, diagnosis=-1),
        scores(3, diagnosis=4.5),
        scores(3, diagnosis=5.0),
        scores(3, diagnosis="5"),
        scores(3, diagnosis=True),
        scores(3, diagnosis=None),
        scores(3, extra=5),
        scores(float("nan")),
        json.dumps(json.loads(scores(3)) | {"note": "x"}),
        json.dumps({"scores": dict.fromkeys(NAMES[1:], 3)}),
        f"```\n{scores(3)}",
        f"```json\n{scores(3)}\n```\nDone.",
    ],
)
def test_marks_of_another_form_or_out_of_range_are_no_score(text: str) -> None:
    with pytest.raises(UnusableAnswerError):
        fixed_score(text)


@pytest.mark.parametrize("fence", ["```json\n{}\n```", "```\n{}\n```\n", "\n{}\n", "{}"])
def test_a_fence_of_code_around_an_answer_is_no_part_of_it(fence: str) -> None:
    assert fixed_score(fence.replace("{}", scores(5)))["llm_composite_score"] == 1.0


@pytest.mark.parametrize("n", [15, 35, 40])
def test_a_list_for_a_task_has_its_checks_in_order(n: int) -> None:
    made = made_checks(listed(n))
    assert [made[0].name, made[-1].name, len(made)] == ["c01", f"c{n:02d}", n]


@pytest.mark.parametrize(
    "text",
    [
        listed(14),
        listed(41),
        listed(15, category="looks"),
        listed(15, check=" "),
        listed(15, check=7),
        listed(15, weight=2),
        '{"checks": {}}',
        '{"checks": ["a"]}',
        "no list",
    ],
)
def test_a_list_of_another_form_is_none(text: str) -> None:
    with pytest.raises(UnusableAnswerError):
        made_checks(text)


@pytest.mark.parametrize(("one", "other", "isr", "csr"), [(1, 1, 1, 1.0), (1, 0, 0, 0.5), (0, 0, 0, 0.0)])
def test_all_checks_or_their_share_pass(one: int, other: int, isr: int, csr: float) -> None:
    score = made_score(verdicts(one, other, ["pytest: 3 passed"]), MADE)
    assert (score["llm_isr"], score["llm_csr"]) == (isr, csr)
    assert score["llm_csr_by_category"] == {"implementation": other, "verification": one}
    assert score["llm_evidence"]["c01"] == ["pytest: 3 passed"]


@pytest.mark.parametrize(
    "text",
    [
        verdicts(2),
        verdicts(-1),
        verdicts(True),
        verdicts("1"),
        verdicts(None),
        verdicts(evidence=["a", "b", "c", "d"]),
        verdicts(evidence=[7]),
        '{"verdicts": {"c01": {"pass": 1, "evidence": []}}}',
        '{"verdicts": {"c01": 1, "c02": 0}}',
        '{"verdicts": []}',
        "1",
    ],
)
def test_verdicts_of_another_form_or_range_are_no_score(text: str) -> None:
    with pytest.raises(UnusableAnswerError):
        made_score(text, MADE)


def test_every_category_of_made_checks_can_be_given() -> None:
    text = json.dumps({"checks": [{"category": each, "check": "x"} for each in MADE_CATEGORIES * 3]})
    assert {each.category for each in made_checks(text)} == set(MADE_CATEGORIES)
