from pathlib import Path
from typing import Any

import pytest

from trajgen_assets.core.errors import ConversionError
from trajgen_assets.core.sft.judge.store import AnswerStore, JudgeAnswer


def answer(subject: str, **changes: Any) -> JudgeAnswer:
    fields: dict[str, Any] = {"method": "checklist", "version": "1", "model": "openai/m", "step": "score"}
    return JudgeAnswer(**(fields | {"subject": subject, "trial": "x", "conversation": 0, "answer": "{}"} | changes))


def test_answers_are_there_again_by_what_was_asked(tmp_path: Path) -> None:
    store = AnswerStore(tmp_path / "llm_scores.jsonl")
    first, second, other = answer("a", reason="bad"), answer("a", score={"x": 1}), answer("b")
    for each in (first, other, second):
        store.add(each)
    again = AnswerStore(tmp_path / "llm_scores.jsonl")
    assert again.of(first.key) == store.of(first.key) == [first, second]
    assert again.of(answer("a", model="openai/n").key) == []


def test_a_line_that_was_not_written_to_its_end_is_taken_away_and_nothing_before_it(tmp_path: Path) -> None:
    path = tmp_path / "llm_scores.jsonl"
    AnswerStore(path).add(answer("a"))
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:-20])
    store = AnswerStore(path)
    assert path.read_bytes() == whole
    store.add(answer("b"))
    assert len(AnswerStore(path).of(answer("a").key)) == 1
    assert len(path.read_bytes().splitlines()) == 2


@pytest.mark.parametrize("line", [b"{}\n", b"no JSON\n", b'{"schema_version": 2}\n'])
def test_a_file_with_a_foreign_line_is_refused_and_left_as_it_is(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "llm_scores.jsonl"
    AnswerStore(path).add(answer("a"))
    path.write_bytes(data := path.read_bytes() + line + path.read_bytes())
    with pytest.raises(ConversionError, match="line 2"):
        AnswerStore(path)
    assert path.read_bytes() == data


def test_what_was_spent_is_the_sum_over_all_methods(tmp_path: Path) -> None:
    store = AnswerStore(tmp_path / "llm_scores.jsonl")
    store.add(answer("a", n_prompt_tokens=10, n_completion_tokens=1, cost_usd=0.5))
    store.add(answer("a", method="dynamic", n_prompt_tokens=5))
    assert store.spent() == AnswerStore(tmp_path / "llm_scores.jsonl").spent() == (16, 0.5)
