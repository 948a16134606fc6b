"""An environment of OpenHands from a lock with a package that has no wheel, as one of the real 84 has none."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.installed import HARBOR_ENV
from tests.unit.openhands.checkouts import Place
from trajgen_assets.core.errors import EnvironmentBuildError
from trajgen_assets.core.openhands.environment import NAME, ready_environment

SOURCE_ONLY = """\
func-timeout==4.3.5 \\
    --hash=sha256:74cd3c428ec94f4edfba81f9b2f14904846d5ffccc27c92433b8b5939b5575dd
"""
SETUPTOOLS = """\
setuptools==80.9.0 \\
    --hash=sha256:062d34222ad13e0cc312a4c02d73f059e86a4acbfbdea8f8f76b28c99f306922 \\
    --hash=sha256:f36b47402ecde768dbfafc46e8e4207b4360c654f1f3bb84475f0a28628fb19c
"""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place.under(tmp_path)
    place.home.mkdir()
    return place


def test_a_package_without_a_wheel_is_built_by_what_the_lock_pins_and_all_of_it_once(place: Place) -> None:
    python, lock = (HARBOR_ENV / "bin" / "python").resolve(), place.home / "openhands.txt"
    lock.write_text(SOURCE_ONLY + SETUPTOOLS)
    config = place.config(lock="openhands.txt", python=str(python))
    said: list[str] = []
    made = ready_environment(config, place.home / "env", said.append)
    assert made.path == (place.home / "env" / NAME).resolve()
    subprocess.run([made.python, "-c", "import func_timeout"], check=True)
    said.clear()
    assert ready_environment(config, place.home / "env", said.append).path == made.path
    assert said == []


def test_setup_envs_makes_it_beforehand_where_openhands_rolls_out(place: Place) -> None:
    python = (HARBOR_ENV / "bin" / "python").resolve()
    (place.home / "openhands.txt").write_text(SETUPTOOLS)
    place.write_config(lock="openhands.txt", python=str(python))
    root, config = place.home / "artifacts", place.home / "config.yaml"
    environ = {**os.environ, "TRAJGEN_ENV_DIR": str(place.home / "env")}
    command = [Path(sys.executable).with_name("trajgen"), "--root", root, "--config", config, "setup-envs", "--json"]
    for is_built in (True, False):
        done = subprocess.run([*command, "--env", "openhands"], env=environ, capture_output=True, text=True, check=True)
        (found,) = json.loads(done.stdout)["environments"]
        assert (found["name"], found["built"], found["n_packages"]) == ("openhands", is_built, 1)


def test_without_its_build_tool_in_the_lock_nothing_is_downloaded_and_nothing_is_left(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_CACHE_DIR", str(place.home / "cache"))  # where nobody has built it before
    python, lock = (HARBOR_ENV / "bin" / "python").resolve(), place.home / "openhands.txt"
    lock.write_text(SOURCE_ONLY)
    with pytest.raises(EnvironmentBuildError, match="setuptools"):
        ready_environment(place.config(lock="openhands.txt", python=str(python)), place.home / "env", print)
    assert not (place.home / "env" / NAME).exists()
    assert list((place.home / "env" / "store").glob("*/bin/python")) == []
