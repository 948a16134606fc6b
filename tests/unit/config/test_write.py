from pathlib import Path

import pytest

from trajgen_assets.core.config import load_config
from trajgen_assets.core.config.load import is_unfilled
from trajgen_assets.core.config.write import minimal_config
from trajgen_assets.core.errors import ConfigError
from trajgen_assets.core.paths import PROJECT

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


def test_the_template_is_filled_in_and_keeps_its_comments_and_its_other_keys(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    template = (PROJECT / "config.yaml").read_text().replace("n_concurrent: 8 ", "n_concurrent: 3 ")
    path.write_text(template)
    hard = VALUES | {"tasks": '../a "quoted" # name: [x]/py-cc'}
    text, made = minimal_config(path, **hard, environment="local")
    assert path.read_text() == template
    differing = [(old, new) for old, new in zip(template.splitlines(), text.splitlines(), strict=True) if old != new]
    assert len(differing) == 5
    assert all(new.endswith(old.partition("#")[2]) for old, new in differing)
    assert made.runtime_info.input.harbor_job.n_concurrent == 3
    path.write_text(text)
    assert not is_unfilled(path)
    assert minimal_config(path, **hard, environment="local") == (text, made)
    assert minimal_config(path, **VALUES)[1] != made


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "runtime_info: {input: {llm_api: {model: human}}}\n",
        "runtime_info:\n  input:\n    llm_api:\n      model: |\n        human\n",
        "runtime_info: [\n",
    ],
)
def test_a_file_that_has_no_place_for_a_value_is_written_anew(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.yaml"
    anew = minimal_config(path, **VALUES)[0]
    path.write_text(text)
    assert minimal_config(path, **VALUES)[0] == anew
