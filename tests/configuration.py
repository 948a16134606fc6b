"""The least that a `config.yaml` needs, for tests that never reach a model."""

from pathlib import Path
from typing import Any

import yaml

NO_MODEL = {"model": "openai/m", "api_base_url": "http://127.0.0.1:9/v1", "api_key": "k"}


def config_text(source: Path, **sections: Any) -> str:
    """A configuration with one data set and a model that nobody serves, and with `sections` of `runtime_info.input`."""
    inputs = {"llm_api": NO_MODEL, "task_source": {"dataset_name": str(source)}, **sections}
    return yaml.safe_dump({"runtime_info": {"input": inputs}})
