from typing import Any

import pytest

from trajgen_assets.core.scripted.conversation import Conversation, content_text


@pytest.mark.parametrize("body", [[], {}, {"messages": []}, {"messages": "hi"}, {"messages": ["hi"]}])
def test_a_body_without_messages_is_refused(body: Any) -> None:
    with pytest.raises(ValueError, match=r"body|messages"):
        Conversation.read(body)


def test_fields_that_nobody_promised_are_left_aside() -> None:
    conversation = Conversation.read(
        {"messages": [{"role": "user", "content": None, "cache_control": {}}], "tools": None, "top_k": 4}
    )
    assert (conversation.user_text, conversation.tools, conversation.stream) == ("", (), False)


def test_text_parts_are_joined_and_pictures_skipped() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {}}, {"type": "text", "text": "b"}]
    assert content_text(parts).split() == ["a", "b"]


def test_answers_and_calls_are_counted_apart() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "bash", "arguments": "{}"}}
    conversation = Conversation.read(
        {
            "messages": [
                {"role": "user", "content": "go"},
                {"role": "assistant", "content": "thinking"},
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "c", "content": "out"},
            ]
        }
    )
    assert (conversation.n_answers, conversation.n_calls) == (2, 1)


def test_tools_are_read_with_and_without_their_wrapper() -> None:
    bare = {"name": "shell", "parameters": {"properties": {"cmd": {"type": "string"}}, "required": ["cmd"]}}
    for raw in (bare, {"type": "function", "function": bare}):
        conversation = Conversation.read({"messages": [{"role": "user", "content": "x"}], "tools": [raw]})
        assert (conversation.tools[0].name, conversation.tools[0].required) == ("shell", ("cmd",))
