"""The OpenHands SDK in the trial's container, with the trial's own key."""

from pathlib import Path
from typing import Any

from container_agent import ContainerAgent
from harbor.agents.installed import openhands_sdk
from harbor.agents.installed.openhands_sdk import OpenHandsSDK, OpenHandsSDKOptions
from harbor.environments.base import BaseEnvironment

RUNNER = Path(openhands_sdk.__file__).with_name("openhands_sdk_runner.py")


class Options(OpenHandsSDKOptions):
    """Harbor's options, and the one that other agents have under this name."""

    max_turns: int | None = None


class TrialKeyOpenHands(ContainerAgent, OpenHandsSDK):
    """Configured with `import_path: "trial_key_openhands:TrialKeyOpenHands"` and `model_name: "openai/…"`."""

    PROGRAM = "/opt/openhands-sdk-venv/bin/python"
    VERSION = f"{PROGRAM} -c 'from importlib.metadata import version; print(version(\"openhands-sdk\"))'"
    options_model = Options

    def __init__(self, logs_dir: Path, *, max_turns: int | None = None, **options: Any) -> None:
        super().__init__(logs_dir, max_iterations=max_turns, **options)

    @classmethod
    def connection(cls, url: str, key: str) -> dict[str, str]:
        """The proxy speaks OpenAI's dialect."""
        return {
            "LLM_API_KEY": key,
            "LLM_BASE_URL": f"{url}/v1",
            "OPENHANDS_SUPPRESS_BANNER": "1",
            "ANONYMIZED_TELEMETRY": "false",  # of the browser tool
            "OTEL_SDK_DISABLED": "true",
        }

    async def install(self, environment: BaseEnvironment) -> None:
        """As every agent, and Harbor's script that drives the SDK."""
        await super().install(environment)
        await environment.upload_file(RUNNER, "/installed-agent/run_agent.py")
