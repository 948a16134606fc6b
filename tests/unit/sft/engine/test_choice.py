"""What the chosen converter has no option for is said by `config validate`, before anything is rolled out."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from tests.configuration import config_text
from trajgen_assets.cli.main import app
from trajgen_assets.core.errors import ConfigError
from trajgen_assets.core.exit_codes import EXIT_OK
from trajgen_assets.core.provision.converter_check import CONVERTERS
from trajgen_assets.core.sft.engine.converter import FAMILIES

FIT = {
    "enabled": True, "engine": "swe_data_process", "tokenizer_name": "owner/name@" + "1" * 40, "first_turn": "keep",
    "leaks": "keep",
}  # fmt: skip


def validated(folder: Path, lf_format: str = "llamafactory_lf_v0.1", **conversion: Any) -> Result:
    (folder / "verifiable_tasks.txt").touch()
    content = yaml.safe_load(config_text(folder, sft_conversion=FIT | conversion))
    content["runtime_info"]["output"] = {"sft_data_dir": {"path": "sft_data", "format": lf_format}}
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump(content))
    return CliRunner().invoke(app, ["--root", str(folder / "root"), "--config", str(config), "config", "validate"])


def test_settings_that_the_converter_can_do_are_valid(tmp_path: Path) -> None:
    done = validated(tmp_path)
    assert done.exit_code == EXIT_OK, done.exception or done.output


@pytest.mark.parametrize(
    ("conversion", "words"),
    [
        ({"tokenizer_name": None}, "none is named"),
        ({"lf_format": "sharegpt"}, "does not write sharegpt"),
        (
            {"leaks": "reject", "over_length": "cut"},
            "nothing for leaks, over_length .*sft_conversion.*set leaks to keep",
        ),
        ({"scaffold": "claude_code"}, "cannot be converted as claude_code"),
    ],
    ids=["tokenizer", "format", "rules", "scaffold"],
)
def test_settings_that_it_has_no_option_for_are_not(tmp_path: Path, conversion: dict[str, Any], words: str) -> None:
    error = validated(tmp_path, **conversion).exception
    assert isinstance(error, ConfigError)
    with pytest.raises(ConfigError, match=words):
        raise error


def test_a_conversion_that_is_switched_off_is_not_judged(tmp_path: Path) -> None:
    assert validated(tmp_path, enabled=False, tokenizer_name=None).exit_code == EXIT_OK


def test_its_environment_is_held_to_the_modules_that_are_run() -> None:
    assert set(CONVERTERS) == set(FAMILIES.values())
