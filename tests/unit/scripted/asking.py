"""Ask the scripted model over plain HTTP, as scaffolds do."""

import json
from collections.abc import Sequence
from typing import Any

import httpx

from trajgen_assets.core.scripted import load_scripts

KNOWN, *_ = (script for script in load_scripts() if script.match and script.solves)
TERMINUS_PROMPT = 'Answer with "keystrokes" in JSON.\n\nTask Description:\n{}'
BASH = {
    "type": "function",
    "function": {
        "name": "bash",
        "parameters": {
            "type": "object",
            "properties": {"command": {"type": "string"}, "timeout": {"type": "integer"}},
            "required": ["command"],
        },
    },
}
Body = dict[str, Any]


def terminus_body(*answers: str, match: str | None = KNOWN.match, **fields: Any) -> Body:
    """The request of Terminus-2 after these answers."""
    messages: list[Body] = [{"role": "user", "content": TERMINUS_PROMPT.format(match)}]
    for answer in answers:
        messages += [{"role": "assistant", "content": answer}, {"role": "user", "content": "New Terminal Output: $"}]
    return {"model": "scripted", "messages": messages, **fields}


def tool_body(*tools: Body, match: str | None = KNOWN.match, **fields: Any) -> Body:
    """The first request of a scaffold that works with tools."""
    return {
        "model": "scripted",
        "messages": [{"role": "system", "content": "You have tools."}, {"role": "user", "content": match}],
        "tools": list(tools or (BASH,)),
        **fields,
    }


def post(base_url: str, body: Any, **headers: str) -> httpx.Response:
    return httpx.post(f"{base_url}/chat/completions", json=body, headers=headers, timeout=10, verify=False)


def message(base_url: str, body: Body) -> Body:
    """The message of a whole answer."""
    response = post(base_url, body)
    response.raise_for_status()
    found: Body = response.json()["choices"][0]["message"]
    return found


def stream(base_url: str, body: Body) -> list[Body]:
    """The chunks of a streamed answer."""
    lines = [line for line in post(base_url, {**body, "stream": True}).text.split("\n\n") if line]
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]


def joined(chunks: Sequence[Body]) -> Body:
    """Put the deltas of a stream together again, as a client does."""
    whole: Body = {"role": None, "content": None}
    for delta in (choice["delta"] for chunk in chunks for choice in chunk["choices"]):
        for field in ("role", "content", "reasoning_content"):
            if field in delta:
                whole[field] = (whole.get(field) or "") + delta[field]
        for call in delta.get("tool_calls", ()):
            if "id" in call:
                whole["tool_calls"] = [{"id": call["id"], "type": call["type"], "function": dict(call["function"])}]
            else:
                whole["tool_calls"][0]["function"]["arguments"] += call["function"]["arguments"]
    return whole
