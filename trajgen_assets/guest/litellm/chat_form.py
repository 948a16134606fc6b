"""Requests in the form of OpenAI's chat completions, also where the upstream was sent another. Standard library.

Behind an OpenAI-compatible upstream LiteLLM has already translated every API, and nothing here changes a thing.
Behind an Anthropic upstream the request on the wire is Anthropic's, while the record promises one form to all readers.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

THINKING = ("thinking", "redacted_thinking")
RENAMED = {"stop_sequences": "stop", "max_output_tokens": "max_tokens"}
TOOL_CHOICES = {"auto": "auto", "any": "required", "none": "none"}


def chat_messages(messages: list[Any], system: Any) -> list[Any]:
    """`messages` with `system` first, and with tool use, tool results and thinking where chat completions put them."""
    first = [{"role": "system", "content": system}] if system else []
    return first + [message for given in messages for message in _chat_message(given)]


def chat_tool(tool: Any) -> Any:
    """A tool as `{"type": "function", "function": {…}}`; one that is no function of the client's is left as it is."""
    if not isinstance(tool, Mapping) or "function" in tool or "name" not in tool:
        return tool
    parameters = tool.get("input_schema", tool.get("parameters"))
    if parameters is None:
        return tool
    function = {"name": tool["name"], "description": tool.get("description") or None, "parameters": parameters}
    return {"type": "function", "function": {name: value for name, value in function.items() if value is not None}}


def chat_parameters(body: Mapping[str, Any]) -> dict[str, Any]:
    """`body` with its sampling parameters under the names, and the choice of tools in the form, of chat completions."""
    named = {RENAMED[name]: value for name, value in body.items() if name in RENAMED}
    chosen = body.get("tool_choice")
    if isinstance(chosen, Mapping) and "function" not in chosen:
        named["tool_choice"] = _tool_choice(chosen)
        if chosen.get("disable_parallel_tool_use") is True:
            named["parallel_tool_calls"] = False
    return {**body, **named}


def _tool_choice(chosen: Mapping[str, Any]) -> Any:
    if chosen.get("type") == "tool":
        return {"type": "function", "function": {"name": chosen.get("name")}}
    return TOOL_CHOICES.get(str(chosen.get("type")), dict(chosen))


def tool_call(block: Mapping[str, Any]) -> dict[str, Any]:
    """A `tool_use` block or a `function_call` item as a chat tool call."""
    arguments = block.get("arguments", block.get("input"))
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False, default=str)
    function = {"name": block.get("name"), "arguments": text}
    return {"type": "function", "id": block.get("call_id") or block.get("id"), "function": function}


def _chat_message(message: Any) -> Iterator[Any]:
    content = message.get("content") if isinstance(message, Mapping) else None
    blocks = content if isinstance(content, list) else []
    kinds = {block.get("type") for block in blocks if isinstance(block, Mapping)}
    if "tool_result" in kinds:
        yield from _tool_results(message, blocks)
    elif kinds & {"tool_use", *THINKING}:
        yield _assistant_turn(message, [block for block in blocks if isinstance(block, Mapping)])
    elif "image" in kinds:
        yield {**message, "content": _parts(blocks)}
    else:
        yield message


def _tool_results(message: Mapping[str, Any], blocks: list[Any]) -> Iterator[dict[str, Any]]:
    """Each result as a message of role `tool`, then what else the user said: chat wants results right after calls."""
    results = [block for block in blocks if isinstance(block, Mapping) and block.get("type") == "tool_result"]
    for block in results:
        yield {"role": "tool", "tool_call_id": block.get("tool_use_id"), "content": _parts(block.get("content", ""))}
    rest = [block for block in blocks if block not in results]
    if rest:
        yield {**message, "content": _parts(rest)}


def _parts(content: Any) -> Any:
    """A message's content with each image where chat completions have it; all else as it is."""
    return [_part(block) for block in content] if isinstance(content, list) else content


def _part(block: Any) -> Any:
    source = block.get("source") if isinstance(block, Mapping) and block.get("type") == "image" else None
    if not isinstance(source, Mapping):
        return block
    data = f"data:{source.get('media_type')};base64,{source.get('data')}"
    return {"type": "image_url", "image_url": {"url": source.get("url") or data}}


def _assistant_turn(message: Mapping[str, Any], blocks: list[Mapping[str, Any]]) -> dict[str, Any]:
    thinking = [dict(block) for block in blocks if block.get("type") in THINKING]
    calls = [tool_call(block) for block in blocks if block.get("type") == "tool_use"]
    turn = {**message, "content": "".join(str(block["text"]) for block in blocks if block.get("type") == "text")}
    if thinking:
        turn["reasoning_content"] = "".join(str(block.get("thinking") or "") for block in thinking)
        turn["thinking_blocks"] = thinking
    return turn | ({"tool_calls": calls} if calls else {})
