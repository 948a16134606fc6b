"""IM rows for tests of their length and their rendering."""

from typing import Any

from trajgen_assets.core.sft.encoding import encode

Json = dict[str, Any]


def user(text: str) -> Json:
    return {"role": "user", "content": text}


def assistant(text: str, reasoning: str = "", **calls: Json) -> Json:
    """A turn of the model, with a call of each named tool."""
    turn: Json = {"role": "assistant", "content": text, "reasoning_content": reasoning, "weight": 1}
    made = [
        {"id": name, "type": "function", "function": {"name": name, "arguments": encode(arguments).decode()}}
        for name, arguments in calls.items()
    ]
    return turn | ({"tool_calls": made} if made else {})


def result(text: str, call: str = "run") -> Json:
    return {"role": "tool", "content": text, "tool_call_id": call}


def im(*messages: Json, system: str = "", tools: list[Json] | None = None, **facts: Any) -> Json:
    unique = {"_agent_type": "main", "_usage": None, "scaffold": "openhands_sdk", "has_instruction": True, **facts}
    return {
        "meta_info": {"rounds": sum(message["role"] == "assistant" for message in messages), "unique_info": unique},
        "tools": tools or [],
        "messages": [{"role": "system", "content": system}, *messages],
    }
