from typing import Any

import pytest
from chat_form import chat_messages, chat_parameters, chat_tool


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": "text"},
        {"role": "user", "content": [{"type": "text", "text": "part"}]},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "function", "function": {}}]},
        {"role": "tool", "tool_call_id": "c", "content": "result"},
        "no message at all",
        {"role": "user", "content": [7, None]},
    ],
)
def test_a_message_in_chat_form_stays_as_it_is(message: Any) -> None:
    assert chat_messages([message], None) == [message]


def test_the_system_prompt_comes_first() -> None:
    user = {"role": "user", "content": "hi"}
    assert chat_messages([user], "be good") == [{"role": "system", "content": "be good"}, user]


def test_an_anthropic_turn_keeps_its_text_thinking_and_calls() -> None:
    blocks = [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "text", "text": "look"},
        {"type": "tool_use", "id": "t1", "name": "run", "input": {"é": 1}},
    ]
    [turn] = chat_messages([{"role": "assistant", "content": blocks}], None)
    assert turn == {
        "role": "assistant",
        "content": "look",
        "reasoning_content": "hm",
        "thinking_blocks": [blocks[0]],
        "tool_calls": [{"type": "function", "id": "t1", "function": {"name": "run", "arguments": '{"é": 1}'}}],
    }


def test_tool_results_become_messages_before_what_else_was_said() -> None:
    text = {"type": "text", "text": "and now?"}
    results = [{"type": "tool_result", "tool_use_id": name, "content": name} for name in ("t1", "t2")]
    assert chat_messages([{"role": "user", "content": [text, *results]}], None) == [
        {"role": "tool", "tool_call_id": "t1", "content": "t1"},
        {"role": "tool", "tool_call_id": "t2", "content": "t2"},
        {"role": "user", "content": [text]},
    ]


FUNCTION = {"type": "function", "function": {"name": "run", "description": "runs", "parameters": {"type": "object"}}}


@pytest.mark.parametrize(
    "tool",
    [
        FUNCTION,
        {"name": "run", "description": "runs", "input_schema": {"type": "object"}},
        {"type": "function", "name": "run", "description": "runs", "parameters": {"type": "object"}},
    ],
)
def test_a_function_of_any_dialect_is_a_chat_function(tool: dict[str, Any]) -> None:
    assert chat_tool(tool) == FUNCTION


@pytest.mark.parametrize("tool", [{"type": "web_search"}, {"type": "bash_20250124", "name": "bash"}, "odd"])
def test_a_tool_of_the_provider_stays_as_it_is(tool: Any) -> None:
    assert chat_tool(tool) == tool


IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
PART = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}


def test_an_image_is_where_chat_completions_have_it_also_in_a_tool_s_result() -> None:
    text = {"type": "text", "text": "see"}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": [text, IMAGE]}
    by_address = {"type": "image", "source": {"type": "url", "url": "http://h/a.png"}}
    given = [{"role": "user", "content": [IMAGE, text]}, {"role": "user", "content": [result, by_address]}]
    assert chat_messages(given, None) == [
        {"role": "user", "content": [PART, text]},
        {"role": "tool", "tool_call_id": "t1", "content": [text, PART]},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://h/a.png"}}]},
    ]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"tool_choice": {"type": "any"}}, {"tool_choice": "required"}),
        ({"tool_choice": {"type": "auto"}}, {"tool_choice": "auto"}),
        ({"tool_choice": {"type": "none"}}, {"tool_choice": "none"}),
        (
            {"tool_choice": {"type": "tool", "name": "a"}},
            {"tool_choice": {"type": "function", "function": {"name": "a"}}},
        ),
        ({"tool_choice": {"type": "new"}}, {"tool_choice": {"type": "new"}}),
        ({"tool_choice": "auto"}, {"tool_choice": "auto"}),
        (
            {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
            {"tool_choice": "auto", "parallel_tool_calls": False},
        ),
        ({"stop_sequences": ["x"], "top_k": 4}, {"stop_sequences": ["x"], "stop": ["x"], "top_k": 4}),
    ],
)
def test_parameters_have_the_names_and_forms_of_chat_completions(
    given: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert chat_parameters(given) == expected
