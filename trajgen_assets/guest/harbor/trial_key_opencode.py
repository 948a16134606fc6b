"""OpenCode in the trial's container, with the trial's own key."""

from pathlib import Path
from typing import Any

from container_agent import ContainerAgent, proxy_url
from harbor.agents.installed.opencode import OpenCode

PROVIDER = "trajgen"
KEY_ENV = "TRAJGEN_TRIAL_KEY"


class TrialKeyOpenCode(ContainerAgent, OpenCode):
    """Configured with `import_path: "trial_key_opencode:TrialKeyOpenCode"` and `model_name: "trajgen/…"`.

    The provider has a name of its own, because OpenCode speaks the responses dialect with the one called openai.
    """

    PROGRAM = "opencode"
    VERSION = "[ -f ~/.nvm/nvm.sh ] && . ~/.nvm/nvm.sh; opencode --version"

    def __init__(self, logs_dir: Path, *, model_name: str, **options: Any) -> None:
        """Write the provider into what Harbor uploads as opencode.json."""
        model = model_name.partition("/")[2]
        config = {
            "autoupdate": False,
            "share": "disabled",
            "snapshot": False,
            "small_model": f"{PROVIDER}/{model}",
            "provider": {PROVIDER: provider(proxy_url(), model)},
        }
        super().__init__(logs_dir, model_name=f"{PROVIDER}/{model}", opencode_config=config, **options)

    @classmethod
    def connection(cls, url: str, key: str) -> dict[str, str]:  # noqa: ARG003  the configuration names it
        """The key by the name that the configuration has for it."""
        return {
            KEY_ENV: key,
            "OPENCODE_DISABLE_AUTOUPDATE": "1",
            "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
            "OPENCODE_DISABLE_MODELS_FETCH": "1",
            "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
        }


def provider(url: str, model: str) -> dict[str, Any]:
    """The proxy as a provider of OpenCode, in the chat dialect. The key is named and not held."""
    return {
        "npm": "@ai-sdk/openai-compatible",
        "options": {"baseURL": f"{url}/v1", "apiKey": f"{{env:{KEY_ENV}}}"},
        "models": {model: {"tool_call": True}},
    }
