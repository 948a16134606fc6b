"""What the platform does right before and right after an agent works in a trial's environment.

Every agent class of ours enters `agent_phase` around Harbor's own `run`, through `InAgentPhase`. What is done is a list
of parts; each begins in the order of that list and ends in the reverse order.

Harbor cancels `run` when the agent's time is up, and once more when the job is interrupted. Parts end all the same,
within `END_LIMIT_S`.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Protocol

from budget_end import ended_by_budget
from carried_through import carried_through
from final_patch import final_patch_of
from harbor.environments.base import BaseEnvironment
from harbor.models.agent.context import AgentContext
from network_isolation import isolation_of
from trial_key import trial_of

END_LIMIT_S = 120.0


class PhasePart(Protocol):
    """One thing that is done around the agent's work. What it raises ends the trial with that error."""

    async def begin(self) -> None:
        """Do what comes before the agent works. Where this raises, `end` is not called."""

    async def end(self) -> None:
        """Do what comes after it, also where it failed or ran out of time."""


class InAgentPhase:
    """Enters the agent phase around the `run` of the next class. It goes before Harbor's own class among the bases."""

    logs_dir: Path

    async def run(self, instruction: str, environment: BaseEnvironment, context: AgentContext) -> None:
        """Let the agent work, in its phase."""
        trial = trial_of(self.logs_dir)
        async with agent_phase(environment, trial):
            with ended_by_budget(trial):
                await super().run(instruction, environment, context)  # type: ignore[misc]


def parts_of(environment: BaseEnvironment, trial: str) -> list[PhasePart]:
    """What is done around the agent's work in `trial`, in the order of its beginning."""
    # Isolation is the last to begin: nothing but the agent is to need a network.
    return [*final_patch_of(environment, trial), *isolation_of(environment)]


@asynccontextmanager
async def agent_phase(environment: BaseEnvironment, trial: str) -> AsyncIterator[None]:
    """Begin every part, and end each that has begun.

    Args:
        environment: where the agent works; started, and with the agent installed.
        trial: its name, which is that of its folder.
    """
    begun = AsyncExitStack()
    try:
        for part in parts_of(environment, trial):
            await part.begin()
            begun.push_async_callback(part.end)
        yield
    finally:
        await carried_through(begun.aclose(), limit_s=END_LIMIT_S)
