from pathlib import Path

import pytest

from trajgen_assets.core.config import load_config
from trajgen_assets.core.config.load import is_unfilled
from trajgen_assets.core.config.write import minimal_config
from trajgen_assets.core.errors import ConfigError

VALUES = {"tasks": "../swe tasks/py-cc", "model": "openai/m", "base_url": "http://127.0.0.1:1/v1", "key_env": "MY_KEY"}


def test_a_file_is_unfilled_while_a_person_has_something_to_fill_in(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    assert not is_unfilled(path)
    path.write_text("runtime_info: {input: {llm_api: {model: human}}}\n")
    assert is_unfilled(path)
    path.write_text(minimal_config(path, **VALUES)[0])
    assert not is_unfilled(path)


@pytest.mark.parametrize(
    "changed", [{"model": "m"}, {"base_url": "nowhere"}, {"key_env": "sk-live 1"}, {"tasks": "human"}]
)
def test_a_wrong_value_is_refused(tmp_path: Path, changed: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        minimal_config(tmp_path / "config.yaml", **VALUES | changed)


def test_what_is_made_is_short_valid_and_without_notices(tmp_path: Path) -> None:
    path = tmp_path / "new" / "config.yaml"
    text, made = minimal_config(path, **VALUES, environment="local")
    assert not path.parent.exists()
    assert len(text.splitlines()) <= 15
    path.parent.mkdir()
    path.write_text(text)
    config = load_config(path)
    assert config == made
    assert (config.warnings(), config.notices()) == ([], [])
    assert config.campaign().llm_api.api_key.env_name == "MY_KEY"
    assert config.sources()[0].folder == tmp_path / "swe tasks" / "py-cc"
