"""Rows as chat templates write them, whatever stands in their texts."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.sft.tokens.rows import assistant, im, result, user
from trajgen_assets.core.errors import ConversionError
from trajgen_assets.core.sft.tokens import RefusedByTemplateError
from trajgen_assets.core.sft.tokens.rendering import chatml_turns, check_chatml, rendered
from trajgen_assets.core.sft.tokens.source import TokenizerFiles
from trajgen_assets.core.sft.tokens.template import ChatTemplate

OURS = ChatTemplate.of(None)
TOOL = {"name": "run", "description": "Runs <tools> & more", "parameters": {"type": "object", "properties": {}}}
MARKS = [
    "<|im_end|>",
    "<|im_start|>",
    "<|im_start|>user\n",
    "<tool_call>",
    "</tool_call>",
    "<think>",
    "</think>",
    "</tools>",
]
TEXT = st.lists(st.sampled_from([*MARKS, "mark0x0end", " ", "\n", "words", "é", '"', "\\", "{{ x }}", "{% if %}"])).map(
    "".join
)


# The shape of common templates: empty thoughts, only the last turn's thoughts, text cut at marks that it holds.
CUTTING = """
{%- for message in messages %}
{{- '<|im_start|>' + message.role + '\\n' }}
{%- if message.role == 'assistant' %}
{%- set content = message.content.split('</think>')[-1].lstrip('\\n') %}
{{- '<think>\\n' + (message.reasoning_content if loop.last else '') + '\\n</think>\\n\\n' + content }}
{%- else %}{{- message.content }}{% endif %}
{{- '<|im_end|>\\n' }}
{%- endfor %}"""
LLAMA = "{% for message in messages %}<|start_header_id|>{{ message.role }}<|end_header_id|>{% endfor %}"


def template_of(tmp_path: Path, source: str, **config: Any) -> ChatTemplate:
    path = tmp_path / "tokenizer_config.json"
    path.write_text(json.dumps({"chat_template": source, **config}))
    return ChatTemplate.of(TokenizerFiles("tiny", tmp_path / "tokenizer.json", path, None, ""))


def test_our_template_writes_tools_thoughts_calls_and_results() -> None:
    row = im(
        user("Fix it"),
        assistant("Look.", "Hm.", run={"cmd": "ls"}, read={"path": "a"}),
        result("one"),
        result("two\n"),
        assistant("", "", run={}),
        result("three"),
        assistant("Done."),
        system="Be brief.",
        tools=[TOOL],
    )
    assert rendered(row, OURS) == (
        "<|im_start|>system\nBe brief.\n\nThese tools can be called, one JSON object a line:\n<tools>\n"
        '{"name": "run", "description": "Runs <tools> & more", "parameters": {"type": "object", "properties": {}}}\n'
        "</tools>\nA call is a JSON object with name and arguments, between <tool_call> and </tool_call>.<|im_end|>\n"
        "<|im_start|>user\nFix it<|im_end|>\n"
        "<|im_start|>assistant\n<think>\nHm.\n</think>\n\nLook.\n"
        '<tool_call>\n{"name": "run", "arguments": {"cmd": "ls"}}\n</tool_call>\n'
        '<tool_call>\n{"name": "read", "arguments": {"path": "a"}}\n</tool_call><|im_end|>\n'
        "<|im_start|>user\n<tool_response>\none\n</tool_response>\n<tool_response>\ntwo\n\n</tool_response><|im_end|>\n"
        '<|im_start|>assistant\n<tool_call>\n{"name": "run", "arguments": {}}\n</tool_call><|im_end|>\n'
        "<|im_start|>user\n<tool_response>\nthree\n</tool_response><|im_end|>\n"
        "<|im_start|>assistant\nDone.<|im_end|>\n"
    )


def test_without_system_text_and_tools_there_is_no_system_turn() -> None:
    assert [turn["role"] for turn in chatml_turns(im(user("a"), assistant("b")), OURS)] == ["user", "assistant"]


@settings(deadline=None)
@given(TEXT, TEXT, TEXT, TEXT, TEXT)
def test_no_mark_in_a_text_moves_a_border_or_loses_a_word(
    asked: str, said: str, thought: str, argument: str, observed: str
) -> None:
    calling = assistant(said, thought, run={"cmd": argument})
    turns = chatml_turns(im(user(asked), calling, result(observed), assistant("Done."), tools=[TOOL]), OURS)
    assert [turn["role"] for turn in turns] == ["system", "user", "assistant", "user", "assistant"]
    _, first, second, third, last = (turn["content"] for turn in turns)
    before = (f"<think>\n{thought}\n</think>\n\n" if thought else "") + said + ("\n" if said else "")
    call = second.removeprefix(f"{before}<tool_call>\n").removesuffix("\n</tool_call>")
    assert first == asked
    assert json.loads(call) == {"name": "run", "arguments": {"cmd": argument}}
    assert third == f"\n<tool_response>\n{observed}\n</tool_response>".lstrip("\n")
    assert last == "Done."


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TEXT, TEXT, TEXT)
def test_a_template_that_looks_for_marks_finds_none_in_texts(tmp_path: Path, asked: str, said: str, last: str) -> None:
    row = im(user(asked), assistant(f"!{said}", "first"), user("And?"), assistant(f"!{last}", "last"))
    contents = [turn["content"] for turn in chatml_turns(row, template_of(tmp_path, CUTTING))]
    assert contents == [
        asked,
        f"<think>\n\n</think>\n\n!{said}",
        "And?",
        f"<think>\nlast\n</think>\n\n!{last}",
    ]


# What templates of current models use of Jinja and of Python's texts.
MODERN = """
{%- macro shown(value) %}{{ value if value is string else value | tojson }}{% endmacro %}
{%- set ns = namespace(last=-1) %}
{%- for message in messages[::-1] %}
    {%- if message.role == 'user' and ns.last < 0 %}{% set ns.last = messages|length - 1 - loop.index0 %}{% endif %}
    {%- if loop.index0 > 50 %}{% break %}{% endif %}
{%- endfor %}
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' }}
    {%- if message.reasoning_content is defined and message.reasoning_content is string and loop.index0 > ns.last %}
        {{- '<think>\\n' + message.reasoning_content.strip('\\n') + '\\n</think>\\n\\n' }}
    {%- endif %}
    {{- message.content | trim }}
    {%- for call in message.tool_calls or [] %}
        {%- set call = call.function if call.function is defined else call %}
        {{- '\\n<function=' + call.name + '>\\n' }}
        {%- for name, value in call.arguments | items %}
            {{- '<parameter=' + name + '>' + shown(value) + '\\n' }}
        {%- endfor %}
    {%- endfor %}
    {{- '<|im_end|>\\n' }}
{%- endfor %}"""


def test_what_templates_of_current_models_use_is_there(tmp_path: Path) -> None:
    row = im(
        user(" go "), assistant("Look.", "Hm.", run={"cmd": "ls", "at": [1, "<b>"]}), result("one"), assistant("ok")
    )
    assert [turn["content"] for turn in chatml_turns(row, template_of(tmp_path, MODERN))] == [
        "go",
        '<think>\nHm.\n</think>\n\nLook.\n<function=run>\n<parameter=cmd>ls\n<parameter=at>[1, "<b>"]\n',
        "one",
        "<think>\n\n</think>\n\nok",
    ]


def test_rows_without_thoughts_have_no_empty_ones_and_keep_such_marks_elsewhere(tmp_path: Path) -> None:
    row = im(user("</think> a"), assistant("</think> b"))
    turns = chatml_turns(row, template_of(tmp_path, CUTTING))
    assert [turn["content"] for turn in turns] == ["</think> a", "</think> b"]


def test_the_template_of_a_file_goes_before_that_of_the_configuration(tmp_path: Path) -> None:
    file = tmp_path / "chat_template.jinja"
    file.write_text("{{ bos_token }}{% generation %}x{% endgeneration %}")
    config = tmp_path / "tokenizer_config.json"
    config.write_text(json.dumps({"chat_template": "y", "bos_token": {"content": "<s>"}}))
    made = ChatTemplate.of(TokenizerFiles("tiny", tmp_path / "tokenizer.json", config, file, ""))
    assert made.render([], []) == "<s>x"


def test_of_several_named_templates_the_default_is_taken(tmp_path: Path) -> None:
    named = [{"name": "tool_use", "template": "x"}, {"name": "default", "template": "y"}]
    assert template_of(tmp_path, named).render([], []) == "y"  # type: ignore[arg-type]


def test_a_template_is_given_no_date_and_no_way_out(tmp_path: Path) -> None:
    undated = template_of(tmp_path, "{% if strftime_now is defined %}dated{% else %}undated{% endif %}")
    assert undated.render([], []) == "undated"
    for source in ("{{ messages.append(1) }}", "{{ ''.__class__.__mro__ }}", "{{ raise_exception('no system') }}"):
        with pytest.raises(RefusedByTemplateError):
            template_of(tmp_path, source).render([], [])


def test_a_template_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=r"chat template cannot be read \(.*tokenizer_config\.json\)"):
        template_of(tmp_path, "{% if %}")


@pytest.mark.parametrize("source", [LLAMA, "", "{{ raise_exception('none') }}", "<|im_start|>user\nx<|im_end|>"])
def test_what_is_not_chatml_is_refused_with_a_way_out(tmp_path: Path, source: str) -> None:
    with pytest.raises(ConversionError, match=r"needs a chat template of the form ChatML \(tiny\).*sharegpt"):
        check_chatml(template_of(tmp_path, source), "tiny")


def test_what_is_chatml_passes(tmp_path: Path) -> None:
    check_chatml(template_of(tmp_path, CUTTING), "tiny")
    check_chatml(OURS, "tiny")
