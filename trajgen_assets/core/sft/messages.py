"""Messages as IM 2.0.0 writes them, from messages as OpenAI-style requests and responses hold them.

Works on plain JSON objects. Nothing is dropped: what has no text form is kept as its JSON text.
"""

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import orjson

from trajgen_assets.core.sft.encoding import encode

Json = dict[str, Any]

THINK_OPEN = "<think>"
THINK_CLOSE = "</think>"


def content_text(content: Any) -> str:
    """Return content as one string: texts of a block list are joined by a blank line, anything else as its JSON."""
    if isinstance(content, str):
        return content
    if content is None:
        return ""
    if isinstance(content, list):
        texts = [block["text"] for block in content if isinstance(block, dict) and isinstance(block.get("text"), str)]
        if len(texts) == len(content):
            return "\n\n".join(text for text in texts if text)
    return encode(content).decode()


def split_think(text: str) -> tuple[str, str]:
    """Split a leading think block off: (reasoning, rest), both trimmed; ("", text) without one or with an empty one."""
    trimmed = text.strip()
    if not trimmed.startswith(THINK_OPEN) or THINK_CLOSE not in trimmed:
        return "", text
    reasoning, _, rest = trimmed[len(THINK_OPEN) :].partition(THINK_CLOSE)
    return (reasoning.strip(), rest.strip()) if reasoning.strip() else ("", text)


def reasoning_of(message: Json) -> str:
    """Return the reasoning of an assistant message: its own field, else signed blocks, else a leading think block."""
    explicit = message.get("reasoning_content")
    if explicit is not None:
        return content_text(explicit).strip()
    if thought := _signed_thoughts(message.get("thinking_blocks")):
        return thought
    return split_think(content_text(message.get("content")))[0]


def normalise_all(messages: Iterable[Json]) -> list[Json]:
    """Return `messages` in IM form: a system message first (maybe empty), every tool call and result with an id."""
    normal = [normalise(message) for message in messages]
    if not normal or normal[0]["role"] != "system":
        normal.insert(0, {"role": "system", "content": ""})
    _pair_tool_ids(normal)
    return normal


def normalise(message: Json) -> Json:
    """Return one message in IM form: string content; reasoning and content apart; arguments as compact JSON text."""
    role = message["role"]
    if role == "assistant":
        return _normalise_assistant(message)
    normal: Json = {"role": role, "content": content_text(message.get("content"))}
    for key in ("name", "tool_call_id"):
        if message.get(key):
            normal[key] = message[key]
    return normal


def normalise_tools(tools: Any) -> list[Json]:
    """Return tool definitions as name, description and parameters, from either nested or flat definitions."""
    functions = [tool.get("function", tool) for tool in tools or () if isinstance(tool, dict)]
    return [
        {
            "name": _name_of(function),
            "description": function.get("description") or "",
            "parameters": function.get("parameters") or function.get("input_schema") or {},
        }
        for function in functions
        if isinstance(function, dict)
    ]


def _signed_thoughts(blocks: Any) -> str:
    """Return what Anthropic's thinking blocks say; of those that are redacted nothing can be read."""
    listed = blocks if isinstance(blocks, list) else []
    texts = [
        block["thinking"] for block in listed if isinstance(block, dict) and isinstance(block.get("thinking"), str)
    ]
    return "\n\n".join(text.strip() for text in texts if text.strip())


def _normalise_assistant(message: Json) -> Json:
    reasoning = reasoning_of(message)
    content = split_think(content_text(message.get("content")))[1]
    normal: Json = {"role": "assistant", "content": content, "reasoning_content": reasoning}
    if calls := [_normalise_call(call) for call in message.get("tool_calls") or () if isinstance(call, dict)]:
        normal["tool_calls"] = calls
    return normal


def _normalise_call(call: Json) -> Json:
    function = call.get("function")
    function = function if isinstance(function, dict) else {}
    normal: Json = {"id": call["id"]} if isinstance(call.get("id"), str) and call["id"] else {}
    return normal | {
        "type": "function",
        "function": {"name": _name_of(function), "arguments": compact_arguments(function.get("arguments"))},
    }


def _name_of(function: Json) -> str:
    """Return the name of a function; what is no text names none."""
    name = function.get("name")
    return name if isinstance(name, str) else ""


def compact_arguments(arguments: Any) -> str:
    """Return the arguments of a call as compact JSON text; what is no JSON becomes a JSON string of itself."""
    if arguments is None or arguments == "":
        return "{}"
    if isinstance(arguments, str):
        with suppress(orjson.JSONDecodeError):  # else kept as a JSON string: what the model wrote is not ours to repair
            arguments = orjson.loads(arguments)
    return encode(arguments).decode()


def _pair_tool_ids(messages: list[Json]) -> None:
    """Give ids to calls and results that lack them, pairing by order among those that are still free."""
    n_made = 0
    for index, message in enumerate(messages):
        calls = message.get("tool_calls") or []
        results = _results_after(messages, index) if calls else []
        known = {call["id"] for call in calls if "id" in call}
        free_results = [item["tool_call_id"] for item in results if item.get("tool_call_id", "") not in known | {""}]
        for call in calls:
            if "id" not in call:
                n_made += not free_results
                call["id"] = free_results.pop(0) if free_results else f"call_{n_made:06d}"
        answered = {item.get("tool_call_id") for item in results}
        free_calls = [call["id"] for call in calls if call["id"] not in answered]
        for item in results:
            if "tool_call_id" not in item and free_calls:
                item["tool_call_id"] = free_calls.pop(0)


def _results_after(messages: list[Json], index: int) -> list[Json]:
    end = index + 1
    while end < len(messages) and messages[end]["role"] == "tool":
        end += 1
    return messages[index + 1 : end]
