"""Tokens are counted in pieces, and are as many as those of the whole."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from tests.tiny_tokenizer import joining, trained
from trajgen_assets.core.errors import ConversionError
from trajgen_assets.core.sft.tokens.counter import TokenCounter, pieces_of

TRAINED = trained()
LINES = st.lists(
    st.sampled_from(["def f():", "    return 1", "", "\t", "<|im_end|>", "\u00e9\u0301", "'s", "x\r", "日本"])
)


def whole(tokenizer: Tokenizer, text: str) -> int:
    return len(tokenizer.encode(text, add_special_tokens=False))


@given(LINES, st.integers(0, 20))
def test_pieces_are_the_text(lines: list[str], length: int) -> None:
    text = "\n".join(lines)
    assert "".join(pieces_of(text, length)) == text


@settings(max_examples=200, deadline=None)
@given(st.one_of(LINES.map("\n".join), st.text()))
def test_tokens_of_pieces_are_those_of_the_whole(text: str) -> None:
    pieces = sum(whole(TRAINED, piece) for piece in pieces_of(text, 0))
    assert pieces == whole(TRAINED, text)


def test_a_long_text_counts_as_a_whole_one_the_second_time_too() -> None:
    text = "".join(f"line {number} of {number % 7}\n" for number in range(5000))
    counter = TokenCounter(TRAINED)
    assert [counter.count(text), counter.count(text)] == [whole(TRAINED, text)] * 2
    assert len(list(pieces_of(text))) > 5


def test_a_tokenizer_that_joins_lines_is_found_out_and_its_texts_are_not_cut() -> None:
    text = "b\na" * 9000
    assert sum(whole(joining(), piece) for piece in pieces_of(text)) != whole(joining(), text)
    assert TokenCounter(joining()).count(text) == whole(joining(), text)


def test_limits_of_a_tokenizers_file_do_not_shorten_what_is_counted(tokenizer_folder: Path) -> None:
    limited = trained()
    limited.enable_truncation(4)
    limited.enable_padding(length=8)
    limited.save(str(tokenizer_folder / "tokenizer.json"))
    text = "The solution returns the sum of both numbers"
    assert TokenCounter.of(tokenizer_folder / "tokenizer.json").count(text) == whole(TRAINED, text) > 4


def test_a_file_that_is_no_tokenizer_is_named(tokenizer_folder: Path) -> None:
    (tokenizer_folder / "tokenizer.json").write_text('{"model": 1}')
    with pytest.raises(ConversionError, match=r"cannot be read \(.*tiny/tokenizer\.json\)"):
        TokenCounter.of(tokenizer_folder / "tokenizer.json")
