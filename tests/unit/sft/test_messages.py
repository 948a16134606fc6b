from typing import Any

import pytest

from trajgen_assets.core.sft.messages import content_text, normalise, normalise_all, normalise_tools, split_think


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("as is \n", "as is \n"),
        (None, ""),
        ([], ""),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": ""}, {"type": "text", "text": "b"}], "a\n\nb"),
        ([{"type": "image", "url": "x"}], '[{"type":"image","url":"x"}]'),
        ({"a": 1}, '{"a":1}'),
        (42, "42"),
    ],
)
def test_content_of_any_shape_becomes_text_and_nothing_vanishes(content: Any, text: str) -> None:
    assert content_text(content) == text


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("<think> a </think>\n b ", ("a", "b")),
        ("no tag ", ("", "no tag ")),
        ("<think>unclosed", ("", "<think>unclosed")),
        ("<think>\n</think>\nb", ("", "<think>\n</think>\nb")),
        ("first <think>a</think>", ("", "first <think>a</think>")),
    ],
)
def test_only_a_leading_whole_think_block_is_split_off(text: str, parts: tuple[str, str]) -> None:
    assert split_think(text) == parts


def test_explicit_reasoning_wins_over_a_think_block_which_is_cut_off_all_the_same() -> None:
    message = {"role": "assistant", "content": "<think>in</think>out", "reasoning_content": " explicit "}
    assert normalise(message) == {"role": "assistant", "content": "out", "reasoning_content": "explicit"}


@pytest.mark.parametrize(
    ("arguments", "compact"),
    [('{"a": 1, "ü": [ ]}', '{"a":1,"ü":[]}'), ({"a": 1}, '{"a":1}'), (None, "{}"), ("rm -rf", '"rm -rf"')],
)
def test_arguments_become_compact_json_and_broken_ones_a_json_string(arguments: Any, compact: str) -> None:
    message = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"function": {"name": "f", "arguments": arguments}}],
    }
    assert normalise(message)["tool_calls"][0]["function"] == {"name": "f", "arguments": compact}


def test_an_empty_system_message_comes_first_where_there_is_none() -> None:
    assert normalise_all([{"role": "user", "content": "a"}])[0] == {"role": "system", "content": ""}
    assert len(normalise_all([{"role": "system", "content": "s"}])) == 1


def ids(calls: list[str | None], results: list[str | None]) -> tuple[list[str], list[str]]:
    function = {"function": {"name": "f", "arguments": "{}"}}
    messages: list[dict[str, Any]] = [
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [function | ({"id": each} if each else {}) for each in calls],
        },
        *[{"role": "tool", "content": "r"} | ({"tool_call_id": each} if each else {}) for each in results],
    ]
    _, assistant, *tools = normalise_all(messages)
    return [call["id"] for call in assistant["tool_calls"]], [tool["tool_call_id"] for tool in tools]


@pytest.mark.parametrize(
    ("calls", "results", "paired"),
    [
        (["a", "b"], ["b", "a"], (["a", "b"], ["b", "a"])),
        ([None, None], [None, None], (["call_000001", "call_000002"], ["call_000001", "call_000002"])),
        ([None, "b"], ["b", "a"], (["a", "b"], ["b", "a"])),
        (["a", "b"], [None, "a"], (["a", "b"], ["b", "a"])),
        (["a", None], [None, None], (["a", "call_000001"], ["a", "call_000001"])),
    ],
)
def test_calls_and_results_are_paired_by_the_ids_there_are(
    calls: list[str | None], results: list[str | None], paired: tuple[list[str], list[str]]
) -> None:
    assert ids(calls, results) == paired


def test_tool_definitions_of_each_dialect_become_one_shape() -> None:
    bare = {"name": "f", "description": "d", "input_schema": {"type": "object"}}
    wrapped = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}
    one = {"name": "f", "description": "d", "parameters": {"type": "object"}}
    assert normalise_tools([bare, wrapped]) == [one, one]
    assert normalise_tools(None) == []
