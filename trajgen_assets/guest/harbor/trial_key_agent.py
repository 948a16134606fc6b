"""Terminus 2 with a model key of its own for each trial, so that the proxy knows which trial a call belongs to.

The key is minted from the environment of the Harbor process and is held in the model client only: it is no agent
option, so Harbor writes it into no file, and Harbor itself needs no key of any provider.
"""

import os
from collections.abc import Mapping
from typing import Any

from harbor.agents.agent_auth_resolution import MissingModelCredentialError
from harbor.agents.terminus_2.terminus_2 import Terminus2
from harbor.environments.base import BaseEnvironment
from harbor.llms.base import BaseLLM
from trial_keys import mint

REQUIRED_ENV = ("TRAJGEN_JOB", "TRAJGEN_TRIAL_SUBKEY", "TRAJGEN_PROXY_URL")


class TrialKeyTerminus2(Terminus2):
    """Configured as `agents: [{import_path: "trial_key_agent:TrialKeyTerminus2", model_name: "openai/<model>"}]`."""

    @classmethod
    def check_model_credentials(
        cls,
        connection: Any,  # noqa: ARG003
        *,
        kwargs: dict[str, Any],  # noqa: ARG003
        env: Mapping[str, str],
        explicit_env: Mapping[str, str] | None = None,  # noqa: ARG003
    ) -> None:
        """Ask for what trial keys are made from, before any trial is queued, instead of for a provider's key."""
        missing = [name for name in REQUIRED_ENV if not env.get(name)]
        if missing:
            raise MissingModelCredentialError(f"{cls.__name__} needs {', '.join(missing)} in Harbor's environment")

    def _init_llm(self, **options: Any) -> BaseLLM:
        """Make the model client with this trial's key, whatever key and address the configuration names.

        The client's own retries are off unless asked for: Harbor retries three times three already, and each try
        is one more call in the trajectory.
        """
        proxy_url = os.environ["TRAJGEN_PROXY_URL"].rstrip("/")
        key = mint(os.environ["TRAJGEN_TRIAL_SUBKEY"], os.environ["TRAJGEN_JOB"], self._trial_name)
        llm_kwargs = {"max_retries": 0, **(options.get("llm_kwargs") or {}), "api_key": key}
        return super()._init_llm(**{**options, "llm_kwargs": llm_kwargs, "api_base": f"{proxy_url}/v1"})

    @property
    def _trial_name(self) -> str:
        return str(self.logs_dir.parent.name)  # Harbor puts the agent's logs into <job>/<trial>/agent

    async def setup(self, environment: BaseEnvironment) -> None:
        """Start the terminal, once Harbor's own name of the trial is the one that the key was minted for."""
        if self.session_id != f"{self._trial_name}__agent":
            raise RuntimeError(
                f"Harbor calls this agent {self.session_id}, but its key is for trial {self._trial_name}"
            )
        await super().setup(environment)
