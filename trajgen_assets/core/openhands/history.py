"""`history` of a row: its events, put together again to the dialogue that the model had.

The fallback where no completions were kept. Answers stand verbatim in `tool_call_metadata.model_response`, repeated on
each action of a reply and on its observation. What a tool said is not kept as the model saw it, so it is formatted
anew, as OpenHands 0.35 to 0.62 does. An answer that the agent could not read is lost: only the error that it was told
is there, without a cause.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from trajgen_assets.core.openhands.rows import OutputRow
from trajgen_assets.core.sft.messages import Json, content_text

DEFAULT_MAX_MESSAGE_CHARS = 30_000

# Observations that the model is told nothing of, or by another way.
_UNTOLD = frozenset({"recall", "agent_state_changed", "null", "condense", "success"})
_CUT_MARK = "\n[... Observation truncated due to length ...]\n"
_ERROR_LINE = "\n[Error occurred in processing last action]"


class HistoryError(ValueError):
    """A history cannot be put together to a dialogue; the text says why."""


@dataclass(frozen=True)
class Turn:
    """One answer of the model: the messages before it, and the reply that it came in."""

    n_before: int
    response: Json


@dataclass
class Dialogue:
    """A dialogue put together from events.

    Attributes:
        messages: system, user, then answers and what tools said. The last answer is the last of `turns`.
        turns: each answer, by how many messages stood before it.
        tools: as offered.
        n_lost_answers: answers that the agent could not read; the error that it was told stands as a user's message.
        n_condensed: how often the agent's condenser took events out of what the model saw.
    """

    messages: list[Json] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    tools: list[Json] = field(default_factory=list)
    n_lost_answers: int = 0
    n_condensed: int = 0

    @property
    def response_ids(self) -> list[str]:
        ids = (turn.response.get("id") for turn in self.turns)
        return [each for each in ids if isinstance(each, str)]


def events_of(history: list[Any] | None) -> list[Json]:
    """Return the events of a history; of an old one, each a pair of action and observation, in their order.

    Raises:
        HistoryError: an entry is neither an event nor such a pair.
    """
    events: list[Json] = []
    for entry in history or ():
        pair = entry if isinstance(entry, list) else [entry]
        if not all(isinstance(event, dict) for event in pair):
            raise HistoryError("an entry is neither an event nor a pair of action and observation")
        events.extend(pair)
    return events


def tools_of(row: OutputRow) -> list[Json]:
    """Return the tools that were offered: of all calls, mocked ones too, the first event says so."""
    for event in row.history or ():
        if isinstance(event, dict) and event.get("action") == "system":
            tools = (event.get("args") or {}).get("tools")
            return [tool for tool in tools if isinstance(tool, dict)] if isinstance(tools, list) else []
    return []


def openhands_version(row: OutputRow) -> str | None:
    """Return the version that the first event names."""
    first = row.history[0] if row.history else None
    value = (first.get("args") or {}).get("openhands_version") if isinstance(first, dict) else None
    return value if isinstance(value, str) else None


def dialogue_of(row: OutputRow) -> Dialogue:
    """Put the dialogue of a row together.

    Raises:
        HistoryError: it has no events, or an action of the agent does not say which answer it is of.
    """
    events = events_of(row.history)
    if not events:
        raise HistoryError("the row holds no history")
    config = (row.metadata or {}).get("llm_config") or {}
    limit = config.get("max_message_chars", DEFAULT_MAX_MESSAGE_CHARS)
    builder = _Builder(limit if isinstance(limit, int) else DEFAULT_MAX_MESSAGE_CHARS)
    for event in events:
        builder.take(event)
    return builder.finished()


@dataclass
class _Builder:
    """Takes in events one by one."""

    max_chars: int
    dialogue: Dialogue = field(default_factory=Dialogue)
    last_response: str | None = None

    def take(self, event: Json) -> None:
        """Take in the next event."""
        if "action" in event:
            self._action(event["action"], event)
        elif "observation" in event:
            self._observation(event["observation"], event)
        else:
            raise HistoryError(f"event {event.get('id')} is neither action nor observation")

    def finished(self) -> Dialogue:
        """Return the dialogue up to its last answer.

        Raises:
            HistoryError: the model never answered.
        """
        if not self.dialogue.turns:
            raise HistoryError("the model never answered")
        return self.dialogue

    def _action(self, kind: str, event: Json) -> None:
        args = event.get("args") or {}
        if kind == "system":
            self._say("system", args.get("content"))
            self.dialogue.tools = [tool for tool in args.get("tools") or () if isinstance(tool, dict)]
        elif kind == "condensation":
            self.dialogue.n_condensed += 1
        elif (metadata := event.get("tool_call_metadata")) is not None:
            self._answer(metadata, event)
        elif kind == "message":
            is_answer = event.get("source") == "agent"
            if is_answer:
                reply = {"role": "assistant", "content": content_text(args.get("content"))}
                self._answered({"choices": [{"index": 0, "finish_reason": "stop", "message": reply}]}, reply)
            else:
                self._say("user", args.get("content"))
        elif event.get("source") == "agent" and kind not in ("recall", "change_agent_state", "null"):
            raise HistoryError(f"event {event.get('id')}, {kind}, does not say of which answer it is")

    def _answer(self, metadata: Any, event: Json) -> None:
        """Take in an action; those of one reply are one answer."""
        response = metadata.get("model_response") if isinstance(metadata, dict) else None
        choices = response.get("choices") if isinstance(response, dict) else None
        if not isinstance(response, dict) or not choices or not isinstance(choices[0].get("message"), dict):
            raise HistoryError(f"event {event.get('id')} does not hold the answer that it is of")
        response_id = response.get("id")
        if isinstance(response_id, str) and response_id == self.last_response:
            return
        self.last_response = response_id if isinstance(response_id, str) else None
        self._answered(response, choices[0]["message"])

    def _answered(self, response: Json, message: Json) -> None:
        self.dialogue.turns.append(Turn(len(self.dialogue.messages), response))
        self.dialogue.messages.append(message | {"role": "assistant"})

    def _observation(self, kind: str, event: Json) -> None:
        metadata = event.get("tool_call_metadata")
        if isinstance(metadata, dict) and isinstance(metadata.get("tool_call_id"), str):
            name = metadata.get("function_name")
            said = {"role": "tool", "content": shown(kind, event, self.max_chars), "name": name}
            self.dialogue.messages.append(said | {"tool_call_id": metadata["tool_call_id"]})
        elif kind == "error":
            self.dialogue.n_lost_answers += event.get("cause") is None
            self._say("user", shown(kind, event, self.max_chars))
        elif kind not in _UNTOLD and event.get("cause") is not None:
            self._say("user", shown(kind, event, self.max_chars))

    def _say(self, role: str, content: Any) -> None:
        self.dialogue.messages.append({"role": role, "content": content_text(content)})


def shown(kind: str, event: Json, max_chars: int) -> str:
    """Return an observation as the model was shown it; whole files and diffs in `extras` never were."""
    content = content_text(event.get("content"))
    if kind == "run":
        extras = event.get("extras") or {}
        content = "".join([*_command_output(content, extras.get("metadata") or {})])
    if kind == "read":  # the editor has cut it already
        return content
    content = cut(content, max_chars)
    return content + _ERROR_LINE if kind == "error" else content


def cut(text: str, max_chars: int) -> str:
    """Return `text`, its middle taken out if it is longer than `max_chars` characters; below 0 means no limit."""
    if max_chars < 0 or len(text) <= max_chars:
        return text
    half = max_chars // 2
    return text[:half] + _CUT_MARK + text[len(text) - half :]


def _command_output(content: str, metadata: Json) -> Iterator[str]:
    yield from (metadata.get("prefix") or "", content, metadata.get("suffix") or "")
    if metadata.get("working_dir"):
        yield f"\n[Current working directory: {metadata['working_dir']}]"
    if metadata.get("py_interpreter_path"):
        yield f"\n[Python interpreter: {metadata['py_interpreter_path']}]"
    if metadata.get("exit_code", -1) != -1:
        yield f"\n[Command finished with exit code {metadata['exit_code']}]"
