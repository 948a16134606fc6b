"""Terminus 2 with a model key of its own for each trial, so that the proxy knows which trial a call belongs to."""

from typing import Any

from agent_phase import InAgentPhase
from harbor.agents.terminus_2.terminus_2 import Terminus2
from harbor.environments.base import BaseEnvironment
from harbor.llms.base import BaseLLM
from trial_key import TrialKeyCredentials, api_base, refuse_other_name, trial_key, trial_of


class TrialKeyTerminus2(TrialKeyCredentials, InAgentPhase, Terminus2):
    """Configured as `agents: [{import_path: "trial_key_agent:TrialKeyTerminus2", model_name: "openai/<model>"}]`."""

    def _init_llm(self, **options: Any) -> BaseLLM:
        """Make the model client with this trial's key, whatever key and address the configuration names.

        The client's own retries are off unless asked for: Harbor retries three times three already, and each try
        is one more call in the trajectory.
        """
        key = trial_key(trial_of(self.logs_dir))
        llm_kwargs = {"max_retries": 0, **(options.get("llm_kwargs") or {}), "api_key": key}
        return super()._init_llm(**{**options, "llm_kwargs": llm_kwargs, "api_base": api_base()})

    async def setup(self, environment: BaseEnvironment) -> None:
        """Start the terminal under the name that the key was minted for."""
        refuse_other_name(self.session_id, trial_of(self.logs_dir))
        await super().setup(environment)
