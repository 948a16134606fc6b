import os
import sys
from pathlib import Path

import pytest

from tests.openhands_checkout.making import make_environment
from tests.unit.openhands.checkouts import Place
from trajgen_assets.core.errors import ConfigError, EnvironmentBuildError, RequirementError
from trajgen_assets.core.openhands.environment import ready_environment
from trajgen_assets.core.provision.builder import pinned_tools


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place.under(tmp_path)


def test_a_named_interpreter_is_used_as_it_is_and_its_packages_are_its_version(place: Place, tmp_path: Path) -> None:
    python = make_environment(tmp_path / "named")
    config = place.config(python=str(python))
    found = ready_environment(config, tmp_path / "env", print)
    assert found.python == python
    assert not (tmp_path / "env").exists()
    (info,) = (path / "more-1.0.dist-info" for path in python.parents[1].glob("lib/python3.*/site-packages"))
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: more\nVersion: 1.0\n")
    assert ready_environment(config, tmp_path / "env", print).record.digest != found.record.digest


def test_an_interpreter_that_does_not_run_is_refused(place: Place, tmp_path: Path) -> None:
    with pytest.raises(RequirementError, match=r"it does not run.*name a Python 3\.12 or 3\.13"):
        ready_environment(place.config(), tmp_path / "env", print)


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="this Python is one that OpenHands takes")
def test_another_python_than_3_12_and_3_13_is_refused(place: Place, tmp_path: Path) -> None:
    config = place.config(python=os.path.realpath(sys.executable))
    with pytest.raises(RequirementError, match=r"it is 3\.11\.\d+, and OpenHands takes 3\.12 to 3\.13"):
        ready_environment(config, tmp_path / "env", print)


def test_a_lock_that_is_not_there_or_pins_nothing_is_refused(place: Place, tmp_path: Path) -> None:
    config = place.config(lock="openhands.txt", python=str(make_environment(tmp_path / "named")))
    with pytest.raises(ConfigError, match=r"cannot be read.*openhands\.txt|openhands\.txt.*No such file"):
        ready_environment(config, tmp_path / "env", print)
    (place.home).mkdir(exist_ok=True)
    (place.home / "openhands.txt").write_text("# nothing\n")
    with pytest.raises(EnvironmentBuildError, match="the lock pins nothing"):
        ready_environment(config, tmp_path / "env", print)


def test_of_a_lock_the_entries_that_build_others_are_taken_with_their_hashes() -> None:
    tool = "setuptools==80.9.0 \\\n    --hash=sha256:2 \\\n    --hash=sha256:3\n"
    assert pinned_tools(f"a==1 \\\n    --hash=sha256:1\n# via x\n{tool}b==1\n") == tool
