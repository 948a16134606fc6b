"""Tool calls in text, for models that have no form of their own."""

import json
import re
from typing import Any

_CALL = re.compile(r"<function=(\w+)>\n?(.*?)</function>", re.DOTALL)
_PARAMETER = re.compile(r"<parameter=(\w+)>(.*?)</parameter>", re.DOTALL)
SAID = "To call a tool, write <function=NAME>\n<parameter=KEY>VALUE</parameter>\n</function>. The tools:\n"


def as_text(messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The conversation with each call and each result written out."""
    told = SAID + "\n".join(f"- {tool['function']['name']}: {tool['function']['description']}" for tool in tools)
    return [_plain(message, told if number == 0 else "") for number, message in enumerate(messages)]


def from_text(response: dict[str, Any], messages: list[dict[str, Any]]) -> dict[str, Any]:
    """The response with the call that its text holds, in tool-call form; `toolu_NN` counts from the first call."""
    message = response["choices"][0]["message"]
    match = _CALL.search(message.get("content") or "")
    if match is None:
        return response
    number = sum(len(each.get("tool_calls") or []) for each in messages) + 1
    arguments = {name: value.strip("\n") for name, value in _PARAMETER.findall(match[2])}
    call = {
        "index": 1,
        "id": f"toolu_{number:02d}",
        "type": "function",
        "function": {"name": match[1], "arguments": json.dumps(arguments)},
    }
    said = {**message, "content": message["content"][: match.start()].strip(), "tool_calls": [call]}
    return {**response, "choices": [{**response["choices"][0], "message": said}]}


def _plain(message: dict[str, Any], suffix: str) -> dict[str, Any]:
    if message["role"] == "tool":
        return {"role": "user", "content": f"EXECUTION RESULT of [{message['name']}]:\n{message['content']}"}
    if message.get("tool_calls"):
        written = "\n\n".join(_written(call["function"]) for call in message["tool_calls"])
        return {"role": "assistant", "content": f"{message.get('content') or ''}\n\n{written}".strip()}
    return {"role": message["role"], "content": f"{message['content']}\n\n{suffix}".strip()}


def _written(function: dict[str, Any]) -> str:
    parameters = json.loads(function["arguments"]).items()
    body = "".join(f"<parameter={name}>{value}</parameter>\n" for name, value in parameters)
    return f"<function={function['name']}>\n{body}</function>"
