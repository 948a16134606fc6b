from pathlib import Path
from typing import Any

import pytest

from trajgen_assets.core.config import load_config, write_minimal_config
from trajgen_assets.core.config.write import is_unfilled
from trajgen_assets.core.errors import ConfigError


def write(path: Path, *, model: str = "openai/m", replace: bool = False, **changed: str) -> None:
    values = {"tasks": "../swe tasks/py-cc", "base_url": "http://127.0.0.1:1/v1", "key_env": "MY_KEY"} | changed
    write_minimal_config(
        path,
        tasks=values["tasks"],
        model=model,
        base_url=values["base_url"],
        key_env=values["key_env"],
        environment="local",
        replace=replace,
    )


def test_an_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("precious")
    with pytest.raises(ConfigError, match="already"):
        write(path)
    with pytest.raises(ConfigError, match="already"):
        write(path, replace=True)
    assert path.read_text() == "precious"


def test_a_template_is_replaced_only_while_it_is_still_to_be_filled_in(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("runtime_info: {input: {llm_api: {model: human}}}\n")
    assert is_unfilled(path)
    write(path, replace=True)
    assert load_config(path).runtime_info.input.harbor_job.environment == "local"
    assert not is_unfilled(path)
    assert not is_unfilled(tmp_path / "missing.yaml")


@pytest.mark.parametrize(
    "changed", [{"model": "m"}, {"base_url": "nowhere"}, {"key_env": "sk-live 1"}, {"tasks": "human"}]
)
def test_a_wrong_value_writes_nothing(tmp_path: Path, changed: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        write(tmp_path / "config.yaml", **changed)
    assert list(tmp_path.iterdir()) == []


def test_what_is_written_is_short_valid_and_without_notices(tmp_path: Path) -> None:
    path = tmp_path / "new" / "config.yaml"
    write(path)
    assert len(path.read_text().splitlines()) <= 15
    config = load_config(path)
    assert (config.warnings(), config.notices()) == ([], [])
    assert config.campaign().llm_api.api_key.env_name == "MY_KEY"
    assert config.sources()[0].folder == tmp_path / "swe tasks" / "py-cc"
