"""Rows of the style that the earlier system wrote."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.sft.tokens.rows import assistant, im, result, user
from tests.unit.sft.twin import job_with, solved
from trajgen_assets.core.errors import ConversionError
from trajgen_assets.core.sft.convert import convert_job, foresee_job
from trajgen_assets.core.sft.lf import check_lf_row, lf_row
from trajgen_assets.core.sft.lf_step import check_tokenizer
from trajgen_assets.core.sft.settings import ConversionSettings
from trajgen_assets.core.sft.tokens.messages_row import messages_row
from trajgen_assets.core.sft.tokens.source import find_tokenizer

OLD_STYLE = ConversionSettings(lf_format="llamafactory_lf_v0.1")
TALKING = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}{% if m.tool_calls %}!{% endif %}<|im_end|>\n"
    "{% endfor %}"
)


def test_a_row_has_messages_and_the_facts_in_their_shape() -> None:
    row = lf_row(im(user("go"), assistant("ok"), system="Be brief.", _instance_id="a"), "llamafactory_lf_v0.1")
    assert [(each["role"], each["content"]) for each in row["messages"]] == [
        ("system", "Be brief."),
        ("user", "go"),
        ("assistant", "ok"),
    ]
    assert (row["_instance_id"], row["_usage"]) == ("a", None)


def test_facts_that_are_named_become_text() -> None:
    facts = {"_usage": {"prompt_tokens": 1}, "_score": None, "_instance_id": "a"}
    row = messages_row(im(user("go"), assistant("ok"), **facts), as_text=set(facts))
    assert [row[key] for key in facts] == ['{"prompt_tokens":1}', None, "a"]


MARKS = [
    "<|im_end|>",
    "<|im_start|>user\n",
    "<tool_call>",
    "</tool_call>",
    "<think>",
    "</think>",
    "{{idx}}",
    " a ",
    "\n",
]
TEXT = st.lists(st.sampled_from(MARKS)).map("".join)


@settings(deadline=None)
@given(st.lists(st.tuples(TEXT, TEXT, TEXT), min_size=1, max_size=4))
def test_every_turn_of_every_row_is_there_whatever_it_says(turns: list[tuple[str, str, str]]) -> None:
    dialogue = [each for said, thought, seen in turns for each in (assistant(said, thought, run={}), result(seen))]
    row = messages_row(im(user("go"), *dialogue, assistant("Done.")))
    assert check_lf_row(row) is None
    assert len(row["messages"]) == 2 * len(turns) + 2
    for (said, thought, seen), asked, answered in zip(
        turns, row["messages"][1:-1:2], row["messages"][2::2], strict=True
    ):
        assert said in asked["content"]
        assert thought in asked["content"]
        assert seen.replace("{{idx}}", "{{ idx}}") in answered["content"]


def test_results_that_a_template_gives_a_role_of_their_own_are_observations(tokenizer_folder: Path) -> None:
    (tokenizer_folder / "chat_template.jinja").write_text(TALKING)
    calling = assistant("Look.", run={}, read={})
    row = messages_row(
        im(user("go"), calling, result("one"), result("two", "read"), assistant("ok")),
        find_tokenizer(str(tokenizer_folder)),
    )
    assert [each["role"] for each in row["messages"]] == ["user", "assistant", "observation", "assistant"]
    assert row["messages"][2]["content"] == "one\n</tool_response>\n<tool_response>\ntwo"
    assert check_lf_row(row) is None


def test_a_template_that_is_not_chatml_is_refused_for_this_style_only(tmp_path: Path, tokenizer_folder: Path) -> None:
    (tokenizer_folder / "chat_template.jinja").write_text("{% for m in messages %}[INST]{{ m.content }}{% endfor %}")
    named = {"tokenizer_name": str(tokenizer_folder)}
    job = job_with(tmp_path, [solved()])
    with pytest.raises(ConversionError, match=r"of the form ChatML \(tiny\)"):
        convert_job(job, OLD_STYLE.model_copy(update=named))
    assert not job.sft.exists()
    with pytest.raises(ConversionError, match="ChatML"):
        check_tokenizer(OLD_STYLE.model_copy(update=named))
    check_tokenizer(ConversionSettings(tokenizer_name=str(tokenizer_folder)))
    assert convert_job(job, ConversionSettings(tokenizer_name=str(tokenizer_folder))).n_rows == 1


def test_a_tokenizer_that_cannot_be_read_fails_the_conversion_and_no_trial_is_left_out_for_it(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    job, settings = job_with(tmp_path, [solved()]), ConversionSettings(tokenizer_name=str(tmp_path))
    for convert in (convert_job, foresee_job):
        with pytest.raises(ConversionError, match=r"the tokenizer cannot be read \(.*tokenizer.json\)"):
            convert(job, settings)
    assert not job.sft.exists()


def test_a_template_is_part_of_what_makes_the_rows_new(tmp_path: Path, tokenizer_folder: Path) -> None:
    job, settings = (
        job_with(tmp_path, [solved()]),
        OLD_STYLE.model_copy(update={"tokenizer_name": str(tokenizer_folder)}),
    )
    first = convert_job(job, settings)
    assert not convert_job(job, settings).changed
    (tokenizer_folder / "chat_template.jinja").write_text(TALKING)
    second = convert_job(job, settings)
    assert second.signature != first.signature
    (row,) = json.loads(second.lf.read_bytes())
    assert [each["role"] for each in row["messages"]] == ["user", "assistant"] * 3
