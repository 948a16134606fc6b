"""One turn out of its call and what followed it, in the words of training data and with the score's eye for errors."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, repeat
from typing import Any

from trajgen_assets.core.dashboard.trajectory.calls import Answered
from trajgen_assets.core.dashboard.trajectory.model import Message, ToolCall, Turn
from trajgen_assets.core.sft.answers import CUT_REASONS
from trajgen_assets.core.sft.messages import Json, normalise_all, normalise_tools
from trajgen_assets.core.sft.score.story import TERMINUS, story_of
from trajgen_assets.core.sft.score.story import Turn as StoryTurn


def turn_of(call: Answered, following: Sequence[Json], then: Answered | None, *, scaffold: str, **place: Any) -> Turn:
    """Return the turn that `call` gave.

    Args:
        call: the call with its answer.
        following: the messages that the next request of the conversation holds behind that answer.
        then: the call that sent them.
        scaffold: the harness, as trials.json names it.
        place: conversation, number and whether the answer was taken.

    Raises:
        UnencodableError: the answer holds what has no JSON form.
    """
    answer, *after = normalise_all([call.exchange.answer, *following])[1:]
    story = story_of([answer, *after], normalise_tools(call.exchange.tools), scaffold)[0]
    told = list(_told(after, story, scaffold))
    results = {message.get("tool_call_id"): shown for message, shown in told if message["role"] == "tool"}
    calls = tuple(_tool_call(each, results) for each in answer.get("tool_calls", ()))
    matched = {id(each.result) for each in calls}
    return Turn(
        line=call.line,
        model=call.exchange.model,
        upstream=call.upstream,
        finish_reason=call.finish_reason,
        figures=call.figures,
        reasoning=answer["reasoning_content"],
        text=answer["content"],
        calls=calls,
        said=story.text.removeprefix(f"{answer['reasoning_content']}\n") if scaffold == TERMINUS else "",
        commands=tuple(each.command or "" for each in story.actions) if scaffold == TERMINUS else (),
        following=tuple(shown for _, shown in told if id(shown) not in matched),
        tool_ms=_between(call, then),
        is_cut=call.finish_reason in CUT_REASONS,
        raw=call.record,
        **place,
    )


def without_known(call: Answered, n_known: int, *, tools: list[Json] | None) -> Answered:
    """Return a call without the first `n_known` messages of its request, and without its tools where they are `tools`.

    Nothing of a history is kept, so that what waits for its observations takes no more memory than it says.
    """
    request = dict(call.record["request_body"])
    request["messages"] = request["messages"][n_known:]
    if n_known:
        request["messages_before"] = n_known
    if call.exchange.tools and call.exchange.tools == tools:
        request["tools"] = f"the same {len(tools)} as in the call before"
    exchange = replace(call.exchange, history=[])
    return replace(call, exchange=exchange, record=call.record | {"request_body": request})


def messages_of(history: Iterable[Json]) -> Iterator[Message]:
    """Yield messages as they are shown, those of the model in the order of its calls with their results."""
    for message in normalise_all(history):
        calls = "".join(_as_text(call) for call in message.get("tool_calls", ()))
        if text := "\n".join(part for part in (message["content"], calls) if part):
            yield Message(message["role"], text)


def _told(after: list[Json], story: StoryTurn, scaffold: str) -> Iterator[tuple[Json, Message]]:
    """Yield each message with how it is shown. Of Terminus-2 all that the user says is one observation."""
    observing = "user" if scaffold == TERMINUS else "tool"
    errors: Iterator[bool] = chain((each.is_error for each in story.observations), repeat(False))
    if scaffold == TERMINUS:
        errors = repeat(any(each.is_error for each in story.observations))
    for message in after:
        is_error = message["role"] == observing and next(errors)
        yield message, Message(message["role"], message["content"], is_error)


def _tool_call(call: Json, results: dict[Any, Message]) -> ToolCall:
    function = call["function"]
    return ToolCall(str(function["name"]), function["arguments"], results.get(call["id"]))


def _as_text(call: Json) -> str:
    return f"{call['function']['name']} {call['function']['arguments']}"


def _between(call: Answered, then: Answered | None) -> int | None:
    """Milliseconds between two calls; calls that overlap, as those of parallel agents, have nothing between them."""
    ended, began = call.figures.ended_at_ms, then.figures.began_at_ms if then else None
    return None if ended is None or began is None else max(0, began - ended)
