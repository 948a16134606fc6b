"""The `config.toml` that `run_infer` reads in its working directory: one section of a model, at the job's own proxy."""

import json
from pathlib import Path

from trajgen_assets.core.atomic import write_text
from trajgen_assets.core.config.config import Campaign
from trajgen_assets.core.config.openhands import OpenHands

NAME = "config.toml"

# The key of a trial stands in it.
MODE = 0o600


def llm_section(campaign: Campaign, chosen: OpenHands, *, base_url: str, api_key: str) -> dict[str, str | float | bool]:
    """The keys of `[llm.<name>]`. What is None is OpenHands' to say, and left out.

    Args:
        base_url: of the proxy, without a path.
        api_key: of the trial, by which its calls are recorded.
    """
    api, agent = campaign.llm_api, campaign.agent
    given: dict[str, str | float | bool | None] = {
        "model": f"{agent.scaffold.provider}/{api.model.rpartition('/')[2]}",
        "base_url": f"{base_url}/v1",
        "api_key": api_key,
        "temperature": agent.temperature,
        "timeout": int(api.timeout_s),
        "max_input_tokens": chosen.max_input_tokens,
        "max_output_tokens": chosen.max_output_tokens,
        "native_tool_calling": chosen.native_tool_calling,
        "input_cost_per_token": api.input_cost_per_token,
        "output_cost_per_token": api.output_cost_per_token,
        "log_completions": True,
    }
    return {name: value for name, value in given.items() if value is not None}


def write_config(folder: Path, section: str, keys: dict[str, str | float | bool]) -> None:
    """Write `config.toml` into the working directory `folder`, in the place of one that the checkout has.

    Args:
        section: `llm.<name>`.
    """
    lines = [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in keys.items()]
    write_text(folder / NAME, "\n".join([f"[{section}]", *lines, ""]), mode=MODE)
