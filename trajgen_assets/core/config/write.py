"""A first config.yaml: the four things that nobody can guess, everything else by default."""

import json
from pathlib import Path

from trajgen_assets.core.config.config import Config
from trajgen_assets.core.config.load import parse_config

_TEMPLATE = """\
# Every other key has a default; unknown keys are refused. Check with: trajgen dryrun
runtime_info:
  input:
    llm_api:
      model: {model}  # provider/name; the provider is the dialect the endpoint speaks
      api_base_url: {base_url}
      api_key: {api_key}  # of the environment, or a line NAME=value in secrets.env beside this file (mode 600)
    task_source:
      dataset_name: {tasks}  # a folder of task folders with verifiable_tasks.txt
    harbor_job:
      environment: {environment}  # docker, local (no security boundary) or another Harbor environment
    sft_conversion:
      enabled: true
"""


def minimal_config(
    path: Path, *, tasks: str, model: str, base_url: str, key_env: str, environment: str = "docker"
) -> tuple[str, Config]:
    """The text of the shortest valid configuration, and what it says. Writes nothing.

    Args:
        path: where it is to lie.
        tasks: folder of tasks, absolute or relative to the folder of `path`.
        model: `provider/name`.
        base_url: address of the model endpoint.
        key_env: name of the environment variable that holds its key.
        environment: where trials run.

    Raises:
        ConfigError: a value is not a valid one.
    """
    text = _TEMPLATE.format(
        model=json.dumps(model),
        base_url=json.dumps(base_url),
        api_key=json.dumps(f"${{{key_env}}}"),
        tasks=json.dumps(tasks),
        environment=json.dumps(environment),
    )
    return text, parse_config(text, path.absolute())
