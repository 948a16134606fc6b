"""Chat completions as the OpenAI API writes them, whole or in chunks, with nothing left to chance.

Equal requests get equal answers to the last byte: ids are digests and `created` is a constant.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

from trajgen_assets.core.scripted.conversation import Conversation, Message
from trajgen_assets.core.scripted.dialect import Answer

CREATED_EPOCH_S = 1_767_225_600
CHARS_PER_TOKEN = 4
CHARS_PER_CHUNK = 48


def count_tokens(text: str) -> int:
    """Tokens of `text` by a fixed rate of four characters, rounded up."""
    return -(-len(text) // CHARS_PER_TOKEN)


def usage(conversation: Conversation, answer: Answer) -> dict[str, Any]:
    """Token counts. What the request before this one had sent already counts as cached, as in a real prefix cache."""
    n_tools = count_tokens(conversation.tools_text)
    n_prompt = n_tools + _count_messages(conversation.messages)
    sent_before = _sent_before(conversation.messages)
    n_cached = n_tools + _count_messages(sent_before) if sent_before else 0
    n_reasoning = count_tokens(answer.reasoning)
    n_completion = n_reasoning + count_tokens(answer.content or "")
    if answer.call:
        n_completion += count_tokens(answer.call.name + answer.call.arguments)
    return {
        "prompt_tokens": n_prompt,
        "completion_tokens": n_completion,
        "total_tokens": n_prompt + n_completion,
        "prompt_tokens_details": {"cached_tokens": n_cached},
        "completion_tokens_details": {"reasoning_tokens": n_reasoning},
    }


def _count_messages(messages: Sequence[Message]) -> int:
    return sum(count_tokens(each.text) for each in messages)


def _sent_before(messages: Sequence[Message]) -> Sequence[Message]:
    answers = [index for index, each in enumerate(messages) if each.role == "assistant"]
    return messages[: answers[-1]] if answers else ()


def whole(conversation: Conversation, answer: Answer) -> dict[str, Any]:
    """The `chat.completion` object of an answer."""
    message: dict[str, Any] = {"role": "assistant", "content": answer.content, "reasoning_content": answer.reasoning}
    if answer.call:
        message["tool_calls"] = [_tool_call(conversation, answer)]
    choice = {"index": 0, "message": message, "finish_reason": _finish_reason(answer), "logprobs": None}
    head = _head(conversation, "chat.completion")
    return {**head, "choices": [choice], "usage": usage(conversation, answer)}


def chunks(conversation: Conversation, answer: Answer) -> Iterator[dict[str, Any]]:
    """The `chat.completion.chunk` objects of an answer.

    Order: role, reasoning, content, tool call, finish reason, usage. The usage chunk has no choices and always comes,
    whether `stream_options` asks for it or not.
    """
    head = _head(conversation, "chat.completion.chunk")
    for delta in _deltas(conversation, answer):
        yield {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    yield {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": _finish_reason(answer)}]}
    yield {**head, "choices": [], "usage": usage(conversation, answer)}


def _deltas(conversation: Conversation, answer: Answer) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant"}
    yield from ({"reasoning_content": piece} for piece in _pieces(answer.reasoning))
    yield from ({"content": piece} for piece in _pieces(answer.content or ""))
    if answer.call:
        call = _tool_call(conversation, answer)
        opening = {"name": answer.call.name, "arguments": ""}
        yield {"tool_calls": [{"index": 0, **call, "function": opening}]}
        for piece in _pieces(answer.call.arguments):
            yield {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}


def _pieces(text: str) -> Iterator[str]:
    return (text[start : start + CHARS_PER_CHUNK] for start in range(0, len(text), CHARS_PER_CHUNK))


def _tool_call(conversation: Conversation, answer: Answer) -> dict[str, Any]:
    assert answer.call is not None
    function = {"name": answer.call.name, "arguments": answer.call.arguments}
    return {"id": f"call_{_digest(conversation)}", "type": "function", "function": function}


def _finish_reason(answer: Answer) -> str:
    return "tool_calls" if answer.call else "stop"


def _head(conversation: Conversation, kind: str) -> dict[str, Any]:
    model = conversation.model
    return {"id": f"chatcmpl-{_digest(conversation)}", "object": kind, "created": CREATED_EPOCH_S, "model": model}


def _digest(conversation: Conversation) -> str:
    text = json.dumps([conversation.model, conversation.tools_text, [(m.role, m.text) for m in conversation.messages]])
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]
