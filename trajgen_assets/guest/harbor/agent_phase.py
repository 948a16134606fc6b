"""What the platform does around an agent's work in a trial's environment: its network, its budget, its patch.

Every agent class of ours has `InAgentPhase` among its bases. The network is closed and opened within Harbor's `run`,
because an error there is one of the trial; what takes longer lies outside of it, see `around_agent`.

Harbor cancels `run` when the agent's time is up, and once more when the job is interrupted. The network is opened all
the same, within `around_agent.END_LIMIT_S`.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import around_agent
from budget_end import ended_by_budget
from carried_through import carried_through
from final_patch import final_patch_of
from harbor.environments.base import BaseEnvironment
from harbor.models.agent.context import AgentContext
from network_isolation import isolation_of
from trial_key import trial_of


class InAgentPhase:
    """Enters the agent phase around the `run` of the next class. It goes before Harbor's own class among the bases."""

    logs_dir: Path

    async def setup(self, environment: BaseEnvironment) -> None:
        """Set the agent up, and have its changes kept as a patch."""
        await super().setup(environment)  # type: ignore[misc]
        keep_patch(environment, trial_of(self.logs_dir))

    async def run(self, instruction: str, environment: BaseEnvironment, context: AgentContext) -> None:
        """Let the agent work, in its phase."""
        async with agent_phase(environment):
            with ended_by_budget(trial_of(self.logs_dir)):
                await super().run(instruction, environment, context)  # type: ignore[misc]


def keep_patch(environment: BaseEnvironment, trial: str) -> None:
    """Have what the agent changes kept as a patch. A large folder takes half a minute to read: that is not its time."""
    around_agent.leave(trial, lambda: final_patch_of(environment, trial))


@asynccontextmanager
async def agent_phase(environment: BaseEnvironment) -> AsyncIterator[None]:
    """Close the network of `environment` where the job says so, and open it again, whatever happens meanwhile."""
    opened = AsyncExitStack()
    try:
        for part in isolation_of(environment):
            await part.begin()
            opened.push_async_callback(part.end)
        yield
    finally:
        await carried_through(opened.aclose(), limit_s=around_agent.END_LIMIT_S)
