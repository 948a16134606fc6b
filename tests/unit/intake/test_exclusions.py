"""What a person retired is read from every place that may name it, and a broken list is never an empty one."""

from pathlib import Path

import pytest

from trajgen_assets.core.config import Config, parse_config
from trajgen_assets.core.errors import ConfigError
from trajgen_assets.core.intake.exclusions import excluded_ids


def config_in(folder: Path, tokens: str = "") -> Config:
    api = '{model: openai/m, api_base_url: "http://127.0.0.1:9/v1", api_key: "${K}"}'
    inputs = f'llm_api: {api}, task_source: {{dataset_name: tasks}}, env_extra: {{HARBOR_EXCLUDE_TASKS: "{tokens}"}}'
    return parse_config(f"runtime_info: {{input: {{{inputs}}}}}", folder / "config.yaml")


def test_a_list_that_is_named_and_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"retired\.txt"):
        excluded_ids(config_in(tmp_path, "retired.txt"))


def test_ids_files_and_the_list_beside_the_configuration_add_up(tmp_path: Path) -> None:
    (tmp_path / "excluded_tasks.txt").write_text("# none of these\na-1  # flaky\n\n")
    (tmp_path / "more.txt").write_text("b-2\n")
    assert excluded_ids(config_in(tmp_path, "c-3 more.txt artifacts/processed_tasks.yaml")) == {"a-1", "b-2", "c-3"}


def test_nothing_named_excludes_nothing(tmp_path: Path) -> None:
    assert excluded_ids(config_in(tmp_path)) == frozenset()
