"""How an agent inside Harbor's process gets at the model: the proxy's address, and its own trial's key.

The key is minted from the environment of that process and is held in the model client only: it is no agent option,
so Harbor writes it into no file, and Harbor itself needs no key of any provider.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harbor.agents.agent_auth_resolution import MissingModelCredentialError
from trial_keys import mint

REQUIRED_ENV = ("TRAJGEN_JOB", "TRAJGEN_TRIAL_SUBKEY", "TRAJGEN_PROXY_URL")


class TrialKeyCredentials:
    """What Harbor asks an agent class before any trial is queued. It goes before Harbor's own class among the bases."""

    @classmethod
    def check_model_credentials(
        cls,
        connection: Any,  # noqa: ARG003
        *,
        kwargs: dict[str, Any],  # noqa: ARG003
        env: Mapping[str, str],
        explicit_env: Mapping[str, str] | None = None,  # noqa: ARG003
    ) -> None:
        """Ask for what trial keys are made from instead of for a provider's key.

        Raises:
            MissingModelCredentialError: some of it is not there.
        """
        missing = [name for name in REQUIRED_ENV if not env.get(name)]
        if missing:
            raise MissingModelCredentialError(f"{cls.__name__} needs {', '.join(missing)} in Harbor's environment")


def trial_of(logs_dir: Path) -> str:
    """The trial whose agent logs into `logs_dir`, which Harbor makes as <job>/<trial>/agent."""
    return str(logs_dir.parent.name)


def trial_key(trial: str) -> str:
    """The key of one trial of this process's job."""
    return mint(os.environ["TRAJGEN_TRIAL_SUBKEY"], os.environ["TRAJGEN_JOB"], trial)


def api_base() -> str:
    """Where the proxy speaks OpenAI's dialect."""
    return f"{os.environ['TRAJGEN_PROXY_URL'].rstrip('/')}/v1"


def refuse_other_name(session_id: str | None, trial: str) -> None:
    """Make sure that Harbor's own name of the trial is the one that the key was minted for.

    Raises:
        RuntimeError: it is another one.
    """
    if session_id != f"{trial}__agent":
        raise RuntimeError(f"Harbor calls this agent {session_id}, but its key is for trial {trial}")
