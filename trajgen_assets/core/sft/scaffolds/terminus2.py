"""Terminus-2: one linear dialogue of user and assistant messages, no tools, commands as text in each answer.

When its context runs full, the agent has three calls written that are not part of its work (a summary,
questions about it, answers to them), and then starts a second dialogue: the first prompt, the prompt for
questions, the questions, and the answers as the next user message. The dialogue before and the dialogue
after are two conversations. Its requests never repeat the model's reasoning, so that is collected from the
answer of each call.
"""

from types import MappingProxyType

from trajgen_assets.core.sft.messages import Json, content_text
from trajgen_assets.core.sft.scaffolds.recorded import RecordedScaffold

# First words of the prompts that Harbor's Terminus-2 sends beside its main dialogue (Harbor 0.25.0, terminus_2.py).
QUESTIONS_OPENING = "You are picking up work from a previous AI agent on this task:"
SIDE_CALLS = {
    "You are about to hand off your work to another AI agent.": "summary",
    QUESTIONS_OPENING: "questions about a summary",
    "The next agent has a few questions for you, please answer each of them": "answers about a summary",
    "Briefly continue this task: ": "short summary",
}


class Terminus2(RecordedScaffold):
    """The conversations of a Terminus-2 trial: its main dialogue, and one more for each context hand-off."""

    name = "terminus2"

    prompts = MappingProxyType(SIDE_CALLS)
    has_subagents = False

    def in_turns(self, history: list[Json]) -> tuple[list[Json], int]:
        """Join the two prompts that a dialogue opens with after a hand-off."""
        return _join_handoff(history)


def _join_handoff(history: list[Json]) -> tuple[list[Json], int]:
    """Make one user message of the two that a dialogue opens with after a hand-off, as training formats alternate."""
    if len(history) < 2 or [message["role"] for message in history[:2]] != ["user", "user"]:
        return history, 0
    first, second = (content_text(message.get("content")) for message in history[:2])
    if not second.startswith(QUESTIONS_OPENING):
        return history, 0
    return [{"role": "user", "content": f"{first}\n\n{second}"}, *history[2:]], 1
