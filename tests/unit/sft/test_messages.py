from typing import Any

import pytest

from trajgen_assets.core.sft.encoding import encode
from trajgen_assets.core.sft.messages import content_text, normalise, normalise_all, normalise_tools, split_think


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("as is \n", "as is \n"),
        (None, ""),
        ([], ""),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": ""}, {"type": "text", "text": "b"}], "a\n\nb"),
        ([{"type": "image", "url": "x"}], '[{"type":"image","url":"x"}]'),
        ([{"type": "image", "url": "x"}, {"type": "text", "text": "a"}], None),
        (["x"], '["x"]'),
        ({"a": 1}, '{"a":1}'),
        (42, "42"),
        ('[{"type": "text", "text": "a"}]', '[{"type": "text", "text": "a"}]'),
        ('{"a": 1}', '{"a": 1}'),
        ("[broken", "[broken"),
    ],
)
def test_content_of_any_shape_becomes_text_and_nothing_vanishes(content: Any, text: str | None) -> None:
    assert content_text(content) == (encode(content).decode() if text is None else text)


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
    [
        ('{"a": 1, "ü": [ ]}', '{"a":1,"ü":[]}'),
        ('{"z": 1, "a": 2}', '{"z":1,"a":2}'),
        ({"a": 1}, '{"a":1}'),
        (None, "{}"),
        ("", "{}"),
        ("rm -rf", '"rm -rf"'),
        ("[1]", "[1]"),
    ],
)
def test_arguments_become_compact_json_and_broken_ones_a_json_string(arguments: Any, compact: str) -> None:
    message = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"function": {"name": "f", "arguments": arguments}}],
    }
    assert normalise(message)["tool_calls"][0]["function"] == {"name": "f", "arguments": compact}


@pytest.mark.parametrize(
    ("call", "written"),
    [
        ({"id": "a", "function": {"name": "f"}}, {"id": "a", "name": "f"}),
        ({"id": "", "function": {"name": "f"}}, {"name": "f"}),
        ({"id": 7, "function": {"name": "f"}}, {"name": "f"}),
        ({"id": "a", "type": "custom", "function": {"name": "f"}}, {"id": "a", "name": "f"}),
        ({"id": "a"}, {"id": "a", "name": ""}),
        ({"id": "a", "function": None}, {"id": "a", "name": ""}),
        ("no object", None),
    ],
)
def test_a_call_of_any_shape_has_a_type_a_name_and_arguments(call: Any, written: dict[str, str] | None) -> None:
    message = normalise({"role": "assistant", "content": "", "tool_calls": [call]})
    if written is None:
        assert "tool_calls" not in message
        return
    expected = {"type": "function", "function": {"name": written["name"], "arguments": "{}"}}
    assert message["tool_calls"] == [({"id": written["id"]} if "id" in written else {}) | expected]


@pytest.mark.parametrize("calls", [None, []])
def test_a_turn_without_calls_has_no_list_of_them(calls: Any) -> None:
    assert "tool_calls" not in normalise({"role": "assistant", "content": "a", "tool_calls": calls})


@pytest.mark.parametrize("text", ["(empty)", "You are GLM-5.2-FP8.", "Conversation title generator"])
def test_words_that_the_earlier_converter_replaced_are_as_they_were(text: str) -> None:
    assert normalise({"role": "assistant", "content": text})["content"] == text


@pytest.mark.parametrize(
    ("message", "reasoning"),
    [
        ({"content": "a"}, ""),
        ({"content": "a", "reasoning_content": None}, ""),
        ({"content": "a", "reasoning_content": " t\n"}, "t"),
        ({"content": "a", "reasoning_content": ""}, ""),
        ({"content": "<think>t</think>a", "reasoning_content": ""}, ""),
        ({"content": "<think>t</think>a"}, "t"),
        ({"content": [{"type": "text", "text": "<think>t</think>a"}]}, "t"),
        ({"content": "a", "thinking_blocks": [{"thinking": "t"}, {"thinking": " "}, {"thinking": "u"}]}, "t\n\nu"),
        ({"content": "a", "thinking_blocks": [{"type": "redacted_thinking", "data": "x"}]}, ""),
        ({"content": "a", "thinking_blocks": "t"}, ""),
        ({"content": "a", "reasoning_content": ["t"]}, '["t"]'),
    ],
)
def test_reasoning_is_looked_for_in_its_field_then_in_signed_blocks_then_in_the_text(
    message: dict[str, Any], reasoning: str
) -> None:
    assert normalise({"role": "assistant"} | message)["reasoning_content"] == reasoning


@pytest.mark.parametrize(
    ("extra", "kept"),
    [
        ({"name": "n"}, {"name": "n"}),
        ({"name": ""}, {}),
        ({"tool_call_id": "c"}, {"tool_call_id": "c"}),
        ({"x": 1}, {}),
    ],
)
def test_of_other_messages_name_and_id_are_kept(extra: dict[str, Any], kept: dict[str, Any]) -> None:
    assert normalise({"role": "tool", "content": "a"} | extra) == {"role": "tool", "content": "a"} | kept


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
        ([None, "b"], ["b", None], (["call_000001", "b"], ["b", "call_000001"])),
        (["a", "b"], ["b", None], (["a", "b"], ["b", "a"])),
        ([None, None, "c"], ["c", "x", "y"], (["x", "y", "c"], ["c", "x", "y"])),
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
    assert normalise_tools(["f", {"function": None}, {"function": "f"}]) == []
    assert normalise_tools([{"name": "f", "strict": True}]) == [{"name": "f", "description": "", "parameters": {}}]
