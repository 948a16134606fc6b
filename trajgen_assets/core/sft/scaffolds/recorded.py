"""What all scaffolds have in common: the conversations in a trial's record of model calls.

A scaffold adds what only it does: which of its calls are beside its work, and which are a subagent's.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from trajgen_assets.core.sft.branches import CallTree, Said
from trajgen_assets.core.sft.messages import Json, compact_arguments, content_text, reasoning_of
from trajgen_assets.core.sft.records import Exchange
from trajgen_assets.core.sft.scaffolds.base import Conversation
from trajgen_assets.core.sft.trajectory import Trajectory

MAIN, SUBAGENT = "main", "subagent"


@dataclass
class Restored:
    """A history with the model's turns as the model gave them; counts of those that its agent changed or lost."""

    messages: list[Json]
    n_unmatched_reasoning: int = 0
    n_rewritten_turns: int = 0


class RecordedScaffold:
    """A scaffold whose trajectory is the proxy's record of its calls.

    Attributes:
        prompts: first words of the last message of calls that are no part of its work, and what such a call is.
        system_prompts: the same of system messages.
        always_offers_tools: whether a call at work offers tools, so that one without is no part of it.
        has_subagents: whether calls of another session than that of its first call are a subagent's.
        edit_tools: names in lower case, one of which its main agent offers; empty where that tells nothing.
    """

    name: str
    prompts: Mapping[str, str] = MappingProxyType({})
    system_prompts: Mapping[str, str] = MappingProxyType({})
    always_offers_tools: bool = False
    has_subagents: bool = True
    edit_tools: frozenset[str] = frozenset()

    def as_meant(self, trajectory: Trajectory) -> Trajectory:
        """Return the trajectory itself: what went over the wire is what was meant."""
        return trajectory

    def conversations(self, trajectory: Trajectory) -> Iterator[Conversation]:
        """Yield the dialogues of a trial; side calls and answers to abandoned retries come with their reason."""
        seen: set[bytes] = set()
        for end, taken in trajectory.ends():
            n_shared = sum(key in seen for key in taken.keys)
            if end.reason is None:
                seen.update(taken.keys)
            conversation = self._conversation(taken.exchange, taken.keys, trajectory.calls)
            yield replace(conversation, reason=end.reason, detail=end.detail, n_shared_messages=n_shared)

    def side_call(self, exchange: Exchange) -> str | None:
        """Say in a word or two what a call is that is no part of the agent's work; None for its work."""
        known = opening_of(texts_of(exchange.history[-1]), self.prompts)
        first = exchange.history[0]
        if known is None and first["role"] == "system":
            known = opening_of(texts_of(first), self.system_prompts)
        return known or ("offers no tools" if self.always_offers_tools and not exchange.tools else None)

    def is_subagent(self, exchange: Exchange, main_session: str | None) -> bool:
        """Whether a subagent made the call."""
        if not self.has_subagents:
            return False
        cannot_edit = bool(self.edit_tools) and not tool_names(exchange) & self.edit_tools
        return cannot_edit or exchange.session != main_session

    def in_turns(self, history: list[Json]) -> tuple[list[Json], int]:
        """Return `history` with what the user says between two answers in one message, and how many were joined."""
        return join_users(history)

    def _conversation(self, exchange: Exchange, keys: list[bytes], tree: CallTree) -> Conversation:
        restored = restore(exchange.history, keys, tree)
        history, n_joined = self.in_turns(restored.messages)
        return Conversation(
            messages=[*history, exchange.answer],
            tools=exchange.tools,
            agent_type=SUBAGENT if self.is_subagent(exchange, tree.main_session) else MAIN,
            model=exchange.model,
            gen_params=exchange.gen_params,
            usage=exchange.usage,
            answered_on=exchange.timestamp[:10] if exchange.timestamp else None,
            n_unmatched_reasoning=restored.n_unmatched_reasoning,
            n_rewritten_turns=restored.n_rewritten_turns,
            n_joined_user_messages=n_joined,
        )


def restore(history: list[Json], keys: list[bytes], tree: CallTree) -> Restored:
    """Give each answer in `history` back the thoughts and calls that its own call had."""
    restored = Restored([])
    for message, key in zip(history, keys, strict=True):
        is_answer = message["role"] == "assistant"
        restored.messages.append(_restore_turn(message, tree.said(key), restored) if is_answer else message)
    return restored


def join_users(history: list[Json]) -> tuple[list[Json], int]:
    """Join a user message to the user message or tool result before it, as training formats alternate.

    Agents that speak Anthropic's dialect put several messages of theirs, and words beside tool results, into one turn.
    """
    joined: list[Json] = []
    n_joined = 0
    for message in history:
        if joined and message["role"] == "user" and joined[-1]["role"] in ("user", "tool"):
            texts = (content_text(each.get("content")) for each in (joined[-1], message))
            joined[-1] = joined[-1] | {"content": "\n\n".join(text for text in texts if text)}
            n_joined += 1
        else:
            joined.append(message)
    return joined, n_joined


def opening_of(texts: list[str], openings: Mapping[str, str]) -> str | None:
    """Return what `openings` calls the first of its beginnings that one of `texts` has."""
    return next(
        (what for opening, what in openings.items() for text in texts if text.lstrip().startswith(opening)), None
    )


def tool_names(exchange: Exchange) -> set[str]:
    """Return the names of the tools that were offered, in lower case."""
    tools = [tool.get("function", tool) for tool in exchange.tools if isinstance(tool, dict)]
    return {str(tool.get("name", "")).lower() for tool in tools if isinstance(tool, dict)}


def texts_of(message: Json) -> list[str]:
    """Return the texts of a message, each block apart."""
    content = message.get("content")
    return [content_text([block]) for block in content] if isinstance(content, list) else [content_text(content)]


def _restore_turn(message: Json, said: Said | None, restored: Restored) -> Json:
    own = reasoning_of(message)
    if said is None:
        restored.n_unmatched_reasoning += not own
        return message | {"reasoning_content": own or None}
    message = message | {"reasoning_content": said.reasoning or own or None}
    sent = message.get("tool_calls") or []
    if _written(sent) != _written(said.calls):
        restored.n_rewritten_turns += 1  # under the ids that were sent back, which the results have, too
        message["tool_calls"] = [call | {"id": now.get("id")} for call, now in zip(said.calls, sent, strict=True)]
    return message


def _written(calls: list[Json]) -> list[tuple[str, str]]:
    """Return calls as name and compact arguments, which are equal however they are spelled."""
    functions = [call["function"] for call in calls if isinstance(call.get("function"), dict)]
    return [(str(function.get("name")), compact_arguments(function.get("arguments"))) for function in functions]
