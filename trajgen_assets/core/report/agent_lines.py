"""A line of Claude Code's own log, a JSON object, in words: who said what, which tool was called, what it gave."""

import json
from collections.abc import Iterator
from typing import Any

_SPOKEN = frozenset({"system", "assistant", "user", "result"})


def in_words(line: str) -> str:
    """The line as a person reads it; any other line as it is."""
    if not line.startswith("{"):
        return line
    try:
        raw = json.loads(line)
    except (ValueError, RecursionError):
        return line
    if not isinstance(raw, dict) or raw.get("type") not in _SPOKEN:
        return line
    said = " | ".join(_plain(part) for part in _parts(raw))
    return f"{raw['type']}: {said}" if said else line


def _parts(raw: dict[str, Any]) -> Iterator[str]:
    """What the object says, a part for each thing in it; nothing of a shape that is not known."""
    if raw["type"] == "system":
        yield f"{raw.get('subtype')} {raw.get('model') or ''}"
    elif raw["type"] == "result":
        yield f"{raw.get('subtype')} after {raw.get('num_turns')} turns: {raw.get('result') or ''}"
    else:
        yield from _content(_mapping(raw.get("message")).get("content"))


def _content(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
        return
    for part in map(_mapping, content if isinstance(content, list) else []):
        if part.get("type") == "text":
            yield str(part.get("text"))
        elif part.get("type") == "thinking":
            yield f"(thinks) {part.get('thinking')}"
        elif part.get("type") == "tool_use":
            yield f"calls {part.get('name')} {json.dumps(part.get('input'), ensure_ascii=False)}"
        elif part.get("type") == "tool_result":
            failed = "failed: " if part.get("is_error") else ""
            yield f"gave {failed}{' '.join(_content(part.get('content')))}"


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _plain(text: str) -> str:
    """On one line."""
    return " ".join(text.split())
