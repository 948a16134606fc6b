"""mini-swe-agent in the trial's container, with the trial's own key."""

from pathlib import Path
from typing import Any

from container_agent import ContainerAgent
from harbor.agents.installed.mini_swe_agent import MiniSweAgent, MiniSweAgentOptions


class Options(MiniSweAgentOptions):
    """Harbor's options, and the one that its class would have to be told as configuration."""

    max_turns: int | None = None


class TrialKeyMiniSweAgent(ContainerAgent, MiniSweAgent):
    """Configured with `import_path: "trial_key_mini_swe_agent:TrialKeyMiniSweAgent"` and `model_name: "openai/…"`."""

    PROGRAM = "mini-swe-agent"
    VERSION = 'export PATH="$HOME/.local/bin:$PATH"; mini-swe-agent --help 2>&1 | grep -a "version"'
    options_model = Options

    def __init__(self, logs_dir: Path, *, max_turns: int | None = None, **options: Any) -> None:
        """Write the limit into the configuration that Harbor puts on top of the agent's own."""
        config = {"agent": {} if max_turns is None else {"step_limit": max_turns}}
        super().__init__(logs_dir, config=config, **options)

    @classmethod
    def connection(cls, url: str, key: str) -> dict[str, str]:
        """The proxy speaks OpenAI's dialect, under either name that clients have for its address."""
        base = f"{url}/v1"
        return {"OPENAI_API_KEY": key, "OPENAI_BASE_URL": base, "OPENAI_API_BASE": base}
