"""Claude Code in the trial's container, with the trial's own key."""

import json
from typing import Any

from container_agent import ContainerAgent
from harbor.agents.installed.base import NonZeroAgentExitCodeError
from harbor.agents.installed.claude_code import ClaudeCode
from harbor.environments.base import BaseEnvironment
from harbor.models.agent.context import AgentContext

OUT_OF_TURNS = "error_max_turns"


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
        try:
            await super().run(instruction, environment, context)
        except NonZeroAgentExitCodeError:
            if self._last_result().get("subtype") != OUT_OF_TURNS:
                raise

    def _last_result(self) -> dict[str, Any]:
        """What the program said last of how it ended."""
        try:
            lines = (self.logs_dir / "claude-code.txt").read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return {}
        said = [json.loads(line) for line in lines if line.startswith('{"type":"result"')]
        return said[-1] if said else {}
