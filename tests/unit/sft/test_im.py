from typing import Any

import pytest

from trajgen_assets.core.sft.im import language_of, think_mode
from trajgen_assets.core.sft.messages import Json


def said(*texts: str) -> list[Json]:
    return [{"role": "system", "content": "系统"}, *({"role": "user", "content": text} for text in texts)]


@pytest.mark.parametrize(
    ("texts", "language"),
    [
        ([], "en"),
        (["Fix it."], "en"),
        (["修复它"], "zh"),
        (["Fix 它."], "zh"),
        ([" \n", "修复"], "zh"),
        (["Fix it.", "修复"], "en"),
        (["かな"], "en"),
        (["\u3400"], "zh"),
        (["\u33ff \ua000"], "en"),
    ],
)
def test_the_first_words_of_a_user_tell_the_language(texts: list[str], language: str) -> None:
    assert language_of(said(*texts)) == language


@pytest.mark.parametrize(
    ("thoughts", "mode"), [([], "fast"), ([""], "fast"), (["", "t"], "slow"), (["t", "t"], "slow"), (["", ""], "fast")]
)
def test_one_turn_that_shows_its_thoughts_makes_a_row_slow(thoughts: list[str], mode: str) -> None:
    turns: list[dict[str, Any]] = [{"role": "assistant", "reasoning_content": each} for each in thoughts]
    assert think_mode([{"role": "user", "content": "<think>t</think>"}, *turns]) == mode
