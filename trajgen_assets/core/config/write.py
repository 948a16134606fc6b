"""A first config.yaml: the four things that nobody can guess, everything else by default."""

import json
import re
from collections.abc import Mapping
from functools import reduce
from pathlib import Path

import yaml

from trajgen_assets.core.config.config import Config
from trajgen_assets.core.config.load import key_lines, parse_config
from trajgen_assets.core.errors import ConfigError

# A key with a plain value and nothing else on its line but a comment.
_VALUE = r'"(?:[^"\\\n]|\\.)*"|[^\s"#{\[&*|>!][^#\n]*?'
_ENTRY = re.compile(rf"(?P<key>\s*\w+:[ \t]+)(?:{_VALUE})(?P<rest>[ \t]*(?:[ \t]#.*)?\n?)")

_TEMPLATE = """\
# Every other key has a default; unknown keys are refused. Check with: trajgen dryrun
runtime_info:
  input:
    llm_api:
      model: {model}  # provider/name; the provider is the dialect the endpoint speaks
      api_base_url: {api_base_url}
      api_key: {api_key}  # of the environment, or a line NAME=value in secrets.env beside this file (mode 600)
    task_source:
      dataset_name: {dataset_name}  # a folder of task folders with verifiable_tasks.txt
    harbor_job:
      environment: {environment}  # docker, local (no security boundary) or another Harbor environment
    sft_conversion:
      enabled: true
"""


def minimal_config(
    path: Path, *, tasks: str, model: str, base_url: str, key_env: str, environment: str = "docker"
) -> tuple[str, Config]:
    """The text of the shortest valid configuration, and what it says. Writes nothing.

    Where a file with the same keys lies at `path` already, such as the template, it is that one with these values in
    it: its other keys and its comments stay.

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
    values = {
        ("llm_api", "model"): json.dumps(model),
        ("llm_api", "api_base_url"): json.dumps(base_url),
        ("llm_api", "api_key"): json.dumps(f"${{{key_env}}}"),
        ("task_source", "dataset_name"): json.dumps(tasks),
        ("harbor_job", "environment"): json.dumps(environment),
    }
    if (filled := _filled_in(path, values)) is not None:
        return filled
    text = _TEMPLATE.format(**{key: value for (_, key), value in values.items()})
    return text, parse_config(text, path.absolute())


def _filled_in(path: Path, values: Mapping[tuple[str, str], str]) -> tuple[str, Config] | None:
    """The file at `path` with `values` in their places; None where one has no line of its own there."""
    try:
        lines, places = path.read_text("utf-8").splitlines(keepends=True), key_lines(path)
        for loc, value in values.items():
            at = places["runtime_info", "input", *loc] - 1
            if (entry := _ENTRY.fullmatch(lines[at])) is None:
                return None
            lines[at] = entry["key"] + value + entry["rest"]
        text = "".join(lines)
        said = yaml.safe_load(text)["runtime_info"]["input"]
        if all(reduce(dict.__getitem__, loc, said) == json.loads(value) for loc, value in values.items()):
            return text, parse_config(text, path.absolute())
    except (ConfigError, OSError, UnicodeDecodeError, yaml.YAMLError, LookupError, TypeError):
        return None  # it is no file to fill in, or a value is wrong, which the shortest one says without its lines
    return None
