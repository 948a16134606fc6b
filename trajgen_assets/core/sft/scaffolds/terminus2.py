"""Terminus-2: one linear dialogue of user and assistant messages, no tools, commands as text in each answer.

When its context runs full, the agent has three calls written that are not part of its work (a summary,
questions about it, answers to them), and then starts a second dialogue: the first prompt, the prompt for
questions, the questions, and the answers as the next user message. The dialogue before and the dialogue
after are two conversations. Its requests never repeat the model's reasoning, so that is collected from the
answer of each call.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from trajgen_assets.core.rollout.trials import TrialEntry
from trajgen_assets.core.sft.branches import CallTree, prefix_keys
from trajgen_assets.core.sft.messages import Json, content_text, reasoning_of
from trajgen_assets.core.sft.reasons import Reason, TrialRejectedError
from trajgen_assets.core.sft.records import Exchange, read_exchanges, reread
from trajgen_assets.core.sft.scaffolds.base import Conversation

# First words of the prompts that Harbor's Terminus-2 sends beside its main dialogue (Harbor 0.25.0, terminus_2.py).
QUESTIONS_OPENING = "You are picking up work from a previous AI agent on this task:"
SIDE_CALL_OPENINGS = (
    "You are about to hand off your work to another AI agent.",
    QUESTIONS_OPENING,
    "The next agent has a few questions for you, please answer each of them",
    "Briefly continue this task: ",
)


class Terminus2:
    """The conversations of a Terminus-2 trial: its main dialogue, and one more for each context hand-off."""

    name = "terminus2"

    def conversations(self, trajectory: Path, trial: TrialEntry) -> Iterator[Conversation]:
        """Yield the dialogues of a trial; side calls and answers to abandoned retries come with their reason."""
        tree = CallTree()
        for place, exchange in read_exchanges(trajectory, torn_tail_ok=trial.capture == "cut"):
            tree.add(place, exchange, is_side=is_side_call(exchange.history))
        if not tree:
            raise TrialRejectedError(Reason.NO_SUCCESSFUL_RECORD)
        seen: set[bytes] = set()
        ends = list(tree.ends())
        for end, exchange in zip(ends, reread(trajectory, (end.place for end in ends)), strict=True):
            keys = list(prefix_keys(exchange.history))
            n_shared = sum(key in seen for key in keys)
            if end.reason is None:
                seen.update(keys)
            yield replace(_conversation(exchange, keys, tree), reason=end.reason, n_shared_messages=n_shared)


def is_side_call(history: list[Json]) -> bool:
    """Whether the last prompt of a request is one of those that Terminus-2 sends beside its main dialogue."""
    return content_text(history[-1].get("content")).startswith(SIDE_CALL_OPENINGS)


def _conversation(exchange: Exchange, keys: list[bytes], tree: CallTree) -> Conversation:
    history, n_unmatched = _with_reasoning(exchange.history, keys, tree)
    history, n_joined = _join_handoff(history)
    return Conversation(
        messages=[*history, exchange.answer],
        tools=exchange.tools,
        model=exchange.model,
        gen_params=exchange.gen_params,
        usage=exchange.usage,
        answered_on=exchange.timestamp[:10] if exchange.timestamp else None,
        n_unmatched_reasoning=n_unmatched,
        n_joined_user_messages=n_joined,
    )


def _with_reasoning(history: list[Json], keys: list[bytes], tree: CallTree) -> tuple[list[Json], int]:
    """Join each answer in `history` with the thoughts of the call that gave it; count those without such a call."""
    joined: list[Json] = []
    n_unmatched = 0
    for message, key in zip(history, keys, strict=True):
        if message["role"] == "assistant" and not reasoning_of(message):
            reasoning = tree.reasoning(key)
            n_unmatched += reasoning is None
            joined.append(message | {"reasoning_content": reasoning or None})
        else:
            joined.append(message)
    return joined, n_unmatched


def _join_handoff(history: list[Json]) -> tuple[list[Json], int]:
    """Make one user message of the two that a dialogue opens with after a hand-off, as training formats alternate."""
    if len(history) < 2 or [message["role"] for message in history[:2]] != ["user", "user"]:
        return history, 0
    first, second = (content_text(message.get("content")) for message in history[:2])
    if not second.startswith(QUESTIONS_OPENING):
        return history, 0
    return [{"role": "user", "content": f"{first}\n\n{second}"}, *history[2:]], 1
