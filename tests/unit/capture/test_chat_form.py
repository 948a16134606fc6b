from typing import Any

import pytest
from chat_form import chat_messages, chat_tool


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
