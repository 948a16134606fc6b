from dataclasses import replace
from typing import Any

import pytest

from trajgen_assets.core.dashboard.datasets.measures import Histogram, Measures
from trajgen_assets.core.dashboard.facts.rows import Leak, RejectedTrial, RowFacts

ROW = RowFacts(
    job="j", trial="t", conversation=0, task_id="a__b-1", agent_type="main", language="python", model="m",
    scaffold="claude_code", reward=1.0, reason=None, detail=None, n_turns=5, n_tokens=1000, score=0.5,
    parts={"sub": 1.0}, evidence={}, leaks=(), n_calls=4, n_errors=1,
)  # fmt: skip


def measured(*rows: RowFacts | RejectedTrial) -> Measures:
    measures = Measures()
    for row in rows:
        measures.add(row)
    return measures


@pytest.mark.parametrize(
    ("value", "label"),
    [(0, "up to 5"), (5, "up to 5"), (6, "5 to 10"), (10, "5 to 10"), (11, "over 10"), (10_000, "over 10")],
)
def test_a_value_on_an_edge_counts_below_it(value: float, label: str) -> None:
    found = Histogram((5, 10))
    found.add(value)
    assert found.bars == [(label, 1)]


def test_bars_between_filled_ones_stay() -> None:
    found = Histogram((1, 2, 3))
    for value in (0, 9):
        found.add(value)
    assert [n for _, n in found.bars] == [1, 0, 0, 1]


def test_what_is_not_known_is_in_no_bar_and_in_no_mean() -> None:
    found = measured(ROW, replace(ROW, n_tokens=None, score=None, parts={}, n_calls=None, n_errors=None))
    assert (found.tokens.n, found.tokens.n_unknown, found.tokens.mean) == (1, 1, 1000)
    assert (found.scores.mean, found.all.parts["sub"].value, found.all.score.n) == (0.5, 1.0, 1)
    assert (found.all.n_rows, found.all.n_counted, found.all.error_share) == (2, 1, 0.25)


def test_without_a_score_there_is_no_mean_and_no_bar() -> None:
    found = measured(replace(ROW, score=None, parts={}))
    assert (found.scores.mean, found.scores.bars, dict(found.all.parts)) == (None, [], {})


def test_rejected_rows_and_trials_are_counted_apart_and_in_no_figure() -> None:
    found = measured(ROW, replace(ROW, reason="leak"), RejectedTrial("a", "t", "no_row_kept", None))
    assert (found.rejected_rows, found.rejected_trials, found.all.n_rows) == ({"leak": 1}, {"no_row_kept": 1}, 1)


def test_rows_are_told_apart_by_what_they_have_in_common() -> None:
    found = measured(ROW, replace(ROW, language=None, score=1.0))
    assert {value: group.score.value for value, group in found.groups["language"].items()} == {"python": 0.5, "": 1.0}


def test_flags_count_of_kept_rows_only() -> None:
    flagged: dict[str, Any] = {"leaks": (Leak("solution_read", 1, "cat"),)}
    assert measured(replace(ROW, **flagged), replace(ROW, reason="leak", **flagged)).n_flagged == 1
