from typing import Any

import pytest

from trajgen_assets.core.sft.columns import LARGEST_EXACT, unfit_keys


@pytest.mark.parametrize(
    "values",
    [
        [],
        [None, None],
        ["a", None, "b"],
        [1, 1.5, -LARGEST_EXACT],
        [{"a": 1}, {}, {"b": "x"}, None],
        [{"a": {"b": [1]}}, {"a": None}, {"a": {"b": []}}, {"a": {"b": [None, 2.5]}}],
        [[], [{"a": 1}, {"b": "x"}], [None]],
        [True, False],
    ],
)
def test_values_of_one_shape_fit_a_column(values: list[Any]) -> None:
    assert unfit_keys([{"key": value} for value in values], ["key"]) == frozenset()


@pytest.mark.parametrize(
    "values",
    [
        ["a", 1],
        [1, True],
        [{"a": 1}, {"a": "x"}],
        [{"a": 1}, None, [1]],
        [{}, "a"],
        [[1], 1],
        [[1, "x"]],
        [[{"a": 1}], [{"a": []}]],
        [LARGEST_EXACT + 1],
        [{"a": -LARGEST_EXACT - 1}],
    ],
)
def test_values_of_mixed_shape_are_named_with_their_key(values: list[Any]) -> None:
    rows = [{"key": value, "other": number} for number, value in enumerate(values)]
    assert unfit_keys(rows, ["key", "other", "missing"]) == {"key"}
