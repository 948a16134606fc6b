"""CodeActAgent of OpenHands' Multi-SWE-bench harness: one dialogue with tools, `think` and `finish` among them.

Where OpenHands mocks function calling, the proxy's record holds the text that went over the wire. What the agent meant
by it lies beside the record in tool-call form, and that is what is converted. An answer that the agent could not read
stands in no later request: it is superseded, and the error that the agent was told goes into the message before it.
"""

from types import MappingProxyType

from trajgen_assets.core.openhands.layout import TOOL_CALLS_NAME
from trajgen_assets.core.sft.scaffolds.recorded import RecordedScaffold
from trajgen_assets.core.sft.trajectory import Trajectory, read_beside

# First words of the prompts of its condensers (OpenHands 0.62.0).
PROMPTS = {
    "You are maintaining a context-aware state summary": "summary",
    "You are maintaining state history for an LLM-based code agent": "summary",
    "You will be given a list of actions, observations, and thoughts": "choice of events",
}


class OpenHandsCodeAct(RecordedScaffold):
    """The conversations of a trial of OpenHands' harness."""

    name = "openhands_codeact"
    prompts = MappingProxyType(PROMPTS)
    system_prompts = MappingProxyType(PROMPTS)
    has_subagents = False

    def as_meant(self, trajectory: Trajectory) -> Trajectory:
        """Return the trajectory in tool-call form wherever that is known."""
        return read_beside(trajectory, TOOL_CALLS_NAME, self.side_call) or trajectory
