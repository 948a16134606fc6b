"""`llm_completions/<id>/`: each model call of an instance in a file of its own, exactly as it was sent and answered.

The folder has the calls of all tries of the instance, and those of any second model. An answer that the agent could
not read stands in no later request: its own file is all there is of it. With mocked function calling `messages` and
`response` are a text form without tools, and `fncall_messages` and `fncall_response` are what the agent meant.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson

from trajgen_assets.core.sft.messages import Json, compact_arguments, content_text

_NAME = re.compile(r"(?P<model>.+)-(?P<at>\d+(?:\.\d+)?)\.json")


@dataclass(frozen=True)
class Completion:
    """One model call in its tool-call form.

    Attributes:
        path: its file.
        model: the beginning of the file's name, which tells models apart.
        at: epoch seconds of its end.
        messages: as sent; content is a text or a list of parts.
        response: the whole reply; its first choice is the answer.
        tools: as offered; of a mocked call, what the caller knows them to be.
        request: the caller's other arguments.
        is_mocked: the model was asked in text.
        cost_usd: as the harness computed it.
    """

    path: Path
    model: str
    at: float
    messages: list[Json]
    response: Json
    tools: list[Json] = field(default_factory=list)
    request: Json = field(default_factory=dict)
    is_mocked: bool = False
    cost_usd: float | None = None

    @property
    def answer(self) -> Json:
        """The model's message."""
        message: Json = self.response["choices"][0]["message"]
        return message

    @property
    def response_id(self) -> str | None:
        value = self.response.get("id")
        return value if isinstance(value, str) else None


@dataclass(frozen=True)
class Calls:
    """What a folder of completions holds: the calls of the last try in their order, and what stands beside them.

    Attributes:
        last_try: calls of the agent.
        n_earlier: calls of the tries before.
        beside: calls of the last try by a second model, or without tools: of a condenser, say.
        unreadable: names of files that are no whole call, with the reason.
    """

    last_try: tuple[Completion, ...] = ()
    n_earlier: int = 0
    beside: tuple[Completion, ...] = ()
    unreadable: dict[str, str] = field(default_factory=dict)


def read_calls(folder: Path, *, tools: Sequence[Json] = (), model: str | None = None) -> Calls:
    """Read the calls of an instance; a folder that is not there holds none.

    Args:
        folder: `llm_completions/<id>`.
        tools: what mocked calls offered; their files do not say.
        model: as the row's metadata has it. Without it the agent's is the one that asked most.
    """
    found, unreadable = [], dict[str, str]()
    for path in sorted(folder.glob("*.json")):
        try:
            found.append(_completion(path, tools))
        except (OSError, ValueError) as error:
            unreadable[path.name] = str(error)
    found.sort(key=lambda call: (call.at, call.path.name))
    mine = _of_the_agent(found, model)
    last_try = _last_try(mine)
    began_at = last_try[0].at if last_try else float("inf")
    beside = tuple(call for call in found if call not in mine and call.at >= began_at)
    return Calls(tuple(last_try), len(mine) - len(last_try), beside, unreadable)


def _completion(path: Path, tools: Sequence[Json]) -> Completion:
    name = _NAME.fullmatch(path.name)
    if name is None:
        raise ValueError("its name is not <model>-<time>.json")
    raw = orjson.loads(path.read_bytes())
    if not isinstance(raw, dict):
        raise ValueError("it is no object")
    is_mocked = "fncall_messages" in raw
    messages, response = (raw.get(f"fncall_{key}" if is_mocked else key) for key in ("messages", "response"))
    kwargs = raw["kwargs"] if isinstance(raw.get("kwargs"), dict) else {}
    offered = kwargs.get("tools") or (list(tools) if is_mocked else [])
    cost = raw.get("cost")
    return Completion(
        path=path,
        model=name["model"],
        at=float(name["at"]),
        messages=_checked_messages(messages),
        response=_checked_response(response),
        tools=offered if isinstance(offered, list) else [],
        request={key: value for key, value in kwargs.items() if key not in ("tools", "messages")},
        is_mocked=is_mocked,
        cost_usd=float(cost) if isinstance(cost, int | float) and cost else None,
    )


def _checked_messages(value: Any) -> list[Json]:
    if not isinstance(value, list) or not value:
        raise ValueError("it holds no messages")
    if not all(isinstance(each, dict) and isinstance(each.get("role"), str) for each in value):
        raise ValueError("one of its messages has no role")
    return value


def _checked_response(value: Any) -> Json:
    choices = value.get("choices") if isinstance(value, dict) else None
    first = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(first, dict) or not isinstance(first.get("message"), dict):
        raise ValueError("its response holds no answer")
    return dict(value)


def _of_the_agent(calls: Sequence[Completion], model: str | None) -> list[Completion]:
    """The agent's own calls: of its model, and with tools where any call has them."""
    names = Counter(call.model for call in calls)
    wanted = model.replace("/", "__") if model else None
    chosen = wanted if wanted in names else max(names, key=lambda name: names[name], default=None)
    own = [call for call in calls if call.model == chosen]
    at_work = [call for call in own if call.tools or call.is_mocked]
    return at_work or own


def _last_try(calls: Sequence[Completion]) -> list[Completion]:
    """The calls from the last opening on: a request without answers that goes on from no request before it.

    After a first answer that the agent could not read, the second request has no answer in it either, but it goes on.
    """
    began = 0
    for index, (before, call) in enumerate(pairwise(calls), start=1):
        if not any(message["role"] == "assistant" for message in call.messages) and not _goes_on(before, call):
            began = index
    return list(calls[began:])


def _goes_on(before: Completion, call: Completion) -> bool:
    """Whether a request holds all of an earlier one and more."""
    n_before = len(before.messages)
    return len(call.messages) > n_before and _words(before.messages) == _words(call.messages[:n_before])


def _words(messages: Iterable[Json]) -> list[tuple[str, str, list[str]]]:
    """What messages say, whatever marks for a cache they bear."""
    return [
        (
            message["role"],
            content_text(message.get("content")).strip(),
            [*map(_called, message.get("tool_calls") or ())],
        )
        for message in messages
    ]


def _called(call: Json) -> str:
    function = call.get("function") or {}
    return f"{function.get('name')} {compact_arguments(function.get('arguments'))}"
