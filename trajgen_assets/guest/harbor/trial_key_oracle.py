"""The reference solution as an agent that asks the model once: a trial of it shows that a host works from end to end.

A reward of 1 with a complete capture says that sandbox, solution, verifier, proxy, trial key and record all do their
part, whatever the model is able to do.
"""

import json
from pathlib import Path

import httpx
from agent_phase import agent_phase, keep_patch
from harbor.agents.base import BaseAgent
from harbor.agents.oracle import OracleAgent
from harbor.environments.base import BaseEnvironment
from harbor.models.agent.context import AgentContext
from harbor.models.trial.paths import TrialPaths
from trial_key import TrialKeyCredentials, api_base, refuse_other_name, trial_key, trial_of

QUESTION = "Reply with the word pong."
REPLY_TIMEOUT_S = 60.0


class TrialKeyOracle(TrialKeyCredentials, BaseAgent):
    """Configured as `agents: [{import_path: "trial_key_oracle:TrialKeyOracle", model_name: "openai/<model>"}]`."""

    @staticmethod
    def name() -> str:
        """As results call it: it is Harbor's own oracle that does the work."""
        return OracleAgent.name()

    def version(self) -> str:
        return "1"

    async def setup(self, environment: BaseEnvironment) -> None:
        """Make sure that the key is this trial's."""
        refuse_other_name(self.session_id, trial_of(self.logs_dir))
        keep_patch(environment, trial_of(self.logs_dir))

    async def run(self, instruction: str, environment: BaseEnvironment, context: AgentContext) -> None:
        """Ask the model, then apply the solution; what it replies does not matter, that it does so does."""
        async with agent_phase(environment):
            await self._ask()
            await self._oracle().run(instruction, environment, context)

    def _oracle(self) -> OracleAgent:
        """Harbor's own, with the task found by ourselves: Harbor hands it to an agent that it made by that name."""
        trial_dir = self.logs_dir.parent
        task_dir = Path(json.loads((trial_dir / "config.json").read_bytes())["task"]["path"])
        return OracleAgent(self.logs_dir, task_dir=task_dir, trial_paths=TrialPaths(trial_dir))

    async def _ask(self) -> None:
        body = {
            "model": str(self.model_name).partition("/")[2],
            "messages": [{"role": "user", "content": QUESTION}],
            "max_tokens": 256,
        }
        headers = {"Authorization": f"Bearer {trial_key(trial_of(self.logs_dir))}"}
        async with httpx.AsyncClient(trust_env=False, timeout=REPLY_TIMEOUT_S) as client:
            reply = await client.post(f"{api_base()}/chat/completions", json=body, headers=headers)
            reply.raise_for_status()
