"""The edge: what a scaffold sends, read leniently and reduced to what the scripted model looks at."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self


@dataclass(frozen=True)
class Message:
    """One message of the history. `text` is all that was written, `n_tool_calls` how many tools it calls."""

    role: str
    text: str
    n_tool_calls: int


@dataclass(frozen=True)
class Tool:
    """A function that the model may call, with the JSON schema of its parameters."""

    name: str
    properties: Mapping[str, Mapping[str, Any]]
    required: tuple[str, ...]


@dataclass(frozen=True)
class Conversation:
    """One request for a chat completion."""

    model: str
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...]
    tools_text: str
    stream: bool

    @classmethod
    def read(cls, body: Any) -> Self:
        """Read the JSON body of a request. Fields that nothing here depends on are left aside.

        Raises:
            ValueError: it is not an object, or has no list of messages.
        """
        if not isinstance(body, dict):
            raise ValueError("the body must be a JSON object")
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages or not all(isinstance(each, dict) for each in messages):
            raise ValueError("messages must be a list of objects with at least one entry")
        tools = [each for each in body.get("tools") or [] if isinstance(each, dict)]
        return cls(
            model=str(body.get("model") or ""),
            messages=tuple(_message(each) for each in messages),
            tools=tuple(_tool(each) for each in tools),
            tools_text=json.dumps(tools, sort_keys=True) if tools else "",
            stream=bool(body.get("stream")),
        )

    @cached_property
    def user_text(self) -> str:
        """Everything that the user side wrote; the task description is in the first messages of it."""
        return "\n".join(each.text for each in self.messages if each.role == "user")

    @property
    def system_text(self) -> str:
        """What the model was told beforehand."""
        return "\n".join(each.text for each in self.messages if each.role == "system")

    @property
    def n_answers(self) -> int:
        """How many answers the model has given so far."""
        return sum(each.role == "assistant" for each in self.messages)

    @property
    def n_calls(self) -> int:
        """How many tools the model has called so far."""
        return sum(each.n_tool_calls for each in self.messages if each.role == "assistant")


def _message(raw: Mapping[str, Any]) -> Message:
    calls = [each for each in raw.get("tool_calls") or [] if isinstance(each, dict)]
    texts = [content_text(raw.get("content")), str(raw.get("reasoning_content") or "")]
    texts += [json.dumps(call.get("function"), sort_keys=True) for call in calls]
    return Message(str(raw.get("role")), "\n".join(text for text in texts if text), len(calls))


def content_text(content: Any) -> str:
    """The text of a message: a string, or the text parts of a list."""
    if isinstance(content, list):
        return "\n".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _tool(raw: Mapping[str, Any]) -> Tool:
    function = raw["function"] if isinstance(raw.get("function"), dict) else raw
    schema = function.get("parameters")
    schema = schema if isinstance(schema, dict) else {}
    properties = schema.get("properties") or {}
    return Tool(str(function.get("name") or ""), properties, tuple(schema.get("required") or ()))
