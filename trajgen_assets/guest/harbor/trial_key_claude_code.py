"""Claude Code in the trial's container, with the trial's own key."""

import json
from contextlib import suppress
from typing import Any

from container_agent import ContainerAgent
from harbor.agents.installed.base import NonZeroAgentExitCodeError
from harbor.agents.installed.claude_code import ClaudeCode
from harbor.environments.base import BaseEnvironment
from harbor.models.agent.context import AgentContext

OUT_OF_TURNS = "error_max_turns"


class OutOfTurnsError(NonZeroAgentExitCodeError):
    """The agent has used up its turns."""


class TrialKeyClaudeCode(ContainerAgent, ClaudeCode):
    """Configured with `import_path: "trial_key_claude_code:TrialKeyClaudeCode"` and `model_name: "anthropic/…"`."""

    PROGRAM = "claude"
    VERSION = 'export PATH="$HOME/.local/bin:$PATH"; claude --version'

    @classmethod
    def connection(cls, url: str, key: str) -> dict[str, str]:
        """The proxy speaks Anthropic's dialect too. What is empty here would lead elsewhere if a job were given it."""
        return {
            "ANTHROPIC_BASE_URL": url,
            "ANTHROPIC_API_KEY": key,
            "CLAUDE_CODE_OAUTH_TOKEN": "",
            "AWS_BEARER_TOKEN_BEDROCK": "",
            "CLAUDE_CODE_USE_BEDROCK": "0",
            "CLAUDE_FORCE_OAUTH": "0",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
            "DISABLE_ERROR_REPORTING": "1",
            "DISABLE_TELEMETRY": "1",
        }

    async def run(self, instruction: str, environment: BaseEnvironment, context: AgentContext) -> None:
        """Work on the task. Its program fails when its turns are used up, which is an end like any other."""
        with suppress(OutOfTurnsError):
            await super().run(instruction, environment, context)

    def _classify_exec_error(self, command: str, result: Any) -> NonZeroAgentExitCodeError:
        """Tell an agent that has used up its turns from one that failed, by what it printed last."""
        error = super()._classify_exec_error(command, result)
        last = (result.stdout or "").rstrip().rpartition("\n")[2]
        return OutOfTurnsError(str(error)) if _ending(last) == OUT_OF_TURNS else error


def _ending(line: str) -> str | None:
    """How a session ended, by the last line that the program prints as JSON."""
    try:
        said = json.loads(line)
    except ValueError:
        return None
    return said.get("subtype") if isinstance(said, dict) and said.get("type") == "result" else None
