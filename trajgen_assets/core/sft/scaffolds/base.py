"""What a scaffold has to tell the converter: the conversations of one trial."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from trajgen_assets.core.sft.messages import Json
from trajgen_assets.core.sft.reasons import Reason
from trajgen_assets.core.sft.records import Exchange
from trajgen_assets.core.sft.trajectory import Trajectory


@dataclass(frozen=True)
class Conversation:
    """One dialogue that a model took part in, with its messages as they were sent and answered.

    Attributes:
        messages: OpenAI-style messages, the model's last answer at the end; reasoning joined to its turns.
        reason: why the scaffold wants it left out, if it does; `detail` says more.
        model: the model that answered, as the endpoint named itself.
        usage: token counts of the last call, which saw the whole dialogue.
        answered_on: ISO date of the last answer.
        n_unmatched_reasoning: model turns whose own call was not found, so that their thoughts are unknown.
        n_rewritten_turns: model turns whose calls the agent sent back changed; they stand here as the model made them.
        n_joined_user_messages: user messages that were joined to the message before them.
        n_shared_messages: leading messages that an earlier conversation of this trial has too.
    """

    messages: list[Json]
    reason: Reason | None = None
    detail: str | None = None
    tools: list[Json] = field(default_factory=list)
    agent_type: str = "main"
    model: str | None = None
    gen_params: Json = field(default_factory=dict)
    usage: Json | None = None
    answered_on: str | None = None
    n_unmatched_reasoning: int = 0
    n_rewritten_turns: int = 0
    n_joined_user_messages: int = 0
    n_shared_messages: int = 0


class Scaffold(Protocol):
    """Reads the trajectories of one agent harness. A new one is a module here and a line in the registry."""

    name: str

    def side_call(self, exchange: Exchange) -> str | None:
        """Say in a word or two what a call is that is no part of the agent's work; None for its work."""
        ...

    def as_meant(self, trajectory: Trajectory) -> Trajectory:
        """Return the trajectory in which the agent's calls are calls: nearly always the recorded one itself.

        Raises:
            TrialRejectedError: as `read_trajectory`.
        """
        ...

    def conversations(self, trajectory: Trajectory) -> Iterator[Conversation]:
        """Yield every conversation of a trial, as it was meant, in recorded order, also those to be left out.

        Raises:
            TrialRejectedError: the trajectory changed since it was read.
        """
        ...
