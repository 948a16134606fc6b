"""How many replies of the model an agent says it got, from the files that it left: a count apart from the proxy's.

Those files are the agent's own. They can be forged, half written, or of another version, and what is not understood
counts for nothing. More replies than the proxy let calls through would mean that the agent asked past the proxy.
"""

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict

from trajgen_assets.core.capture.untrusted_folder import opened_file, walked

# A hostile file takes twenty times its size of memory when it is parsed; an honest one of a hundred turns has 5 MB.
MAX_BYTES = 16 << 20
MAX_FILES = 100

MINI_SWE_AGENT = "mini-swe-agent.trajectory.json"
CLAUDE_CODE = ("sessions", "projects")
ATIF = "trajectory.json"
TERMINUS = "terminus-2"
SYNTHETIC = "<synthetic>"  # Claude Code's own words in the place of a reply


class AgentCount(BaseModel):
    """`n_replies` of the model that the agent's `source`, a path in its folder, tells of."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    source: str
    n_replies: int


def count_replies(folder_fd: int) -> AgentCount | None:
    """The agent's own count, from the folder that it logs into; None where it keeps none that is known here."""
    counts = (_of_mini_swe_agent, _of_claude_code, _of_terminus)
    return next((found for count in counts if (found := count(folder_fd)) is not None), None)


def _of_mini_swe_agent(folder_fd: int) -> AgentCount | None:
    """Messages of the assistant. Its `api_calls` also counts what was never answered."""
    messages = _object(folder_fd, MINI_SWE_AGENT).get("messages")
    if not isinstance(messages, list):
        return None
    return AgentCount(source=MINI_SWE_AGENT, n_replies=sum(_value(each, "role") == "assistant" for each in messages))


def _of_claude_code(folder_fd: int) -> AgentCount | None:
    """Distinct message ids in its session files: a reply takes a line for each of its blocks, subagents' too."""
    paths = [path for path in walked(folder_fd, CLAUDE_CODE, limit=MAX_FILES) if path[-1].endswith(".jsonl")]
    ids = {reply for path in paths for reply in _replies(_lines(folder_fd, path))}
    return AgentCount(source="/".join((*CLAUDE_CODE, "*", "*.jsonl")), n_replies=len(ids)) if paths else None


def _replies(events: Iterable[Any]) -> Iterator[str]:
    for event in events:
        message = _value(event, "message")
        is_reply = _value(event, "type") == "assistant" and _value(message, "model") != SYNTHETIC
        if is_reply and isinstance(reply := _value(message, "id"), str):
            yield reply


def _of_terminus(folder_fd: int) -> AgentCount | None:
    """The agent's steps in Harbor's form, which is Terminus-2's own; of other agents Harbor makes it up afterwards."""
    trajectory = _object(folder_fd, ATIF)
    steps = trajectory.get("steps")
    if _value(trajectory.get("agent"), "name") != TERMINUS or not isinstance(steps, list):
        return None
    return AgentCount(source=ATIF, n_replies=sum(_is_reply(step) for step in steps))


def _is_reply(step: Any) -> bool:
    is_own = _value(step, "source") == "agent" and not _value(step, "is_copied_context")
    return is_own and isinstance(_value(step, "metrics"), dict)


def _object(folder_fd: int, name: str) -> Mapping[str, Any]:
    value = _parsed(_data(folder_fd, (name,)))
    return value if isinstance(value, dict) else {}


def _lines(folder_fd: int, path: tuple[str, ...]) -> Iterator[Any]:
    return (_parsed(line) for line in _data(folder_fd, path).splitlines())


def _data(folder_fd: int, path: tuple[str, ...]) -> bytes:
    """The bytes of a plain file; none where it is anything else, larger than all that is read, or not ours to read."""
    with suppress(OSError), opened_file(folder_fd, path) as file:
        found = os.fstat(file.fileno())
        if stat.S_ISREG(found.st_mode) and found.st_size <= MAX_BYTES:
            return file.read(MAX_BYTES)
    return b""


def _parsed(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except (orjson.JSONDecodeError, RecursionError):
        return None


def _value(mapping: Any, name: str) -> Any:
    return mapping.get(name) if isinstance(mapping, dict) else None
