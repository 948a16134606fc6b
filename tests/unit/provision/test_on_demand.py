import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.provision.test_setup import Machine
from tests.unit.provision.twins import python_twin, script
from trajgen_assets.core.errors import EnvironmentBuildError
from trajgen_assets.core.paths import PROJECT, Root
from trajgen_assets.core.provision.command import build_settings
from trajgen_assets.core.provision.environments import Environment
from trajgen_assets.core.provision.on_demand import inputs_of, needed_environment
from trajgen_assets.core.provision.record import Record
from trajgen_assets.core.provision.setup import HARBOR, LITELLM

FIND = """
from trajgen_assets.core.paths import Root
from trajgen_assets.core.provision.on_demand import ready_environments
print(*(each.path.name for each in ready_environments(Root.from_environ().env, print)))
"""


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path)
    machine.can_build()
    machine.is_set_up()
    for name in (HARBOR, LITELLM):  # what stands is a folder in the store, behind a link
        link = machine.env_dir / name
        record = Record.read(link)
        assert record is not None
        home = machine.env_dir / "store" / f"{name}-{record.digest}"
        home.parent.mkdir(exist_ok=True)
        link.rename(home)
        link.symlink_to(home)
    return machine


def needed(machine: Machine, name: str, **environ: str) -> Environment:
    return needed_environment(
        name,
        machine.env_dir,
        lambda _line: None,
        project=machine.project,
        environ=machine.environ | environ,
    )


def change_lock(machine: Machine, name: str) -> None:
    distribution = name.partition("-")[0]
    (machine.project / "locks" / f"{distribution}.txt").write_text(f"{distribution}==1.0  # anew\n", encoding="utf-8")


def test_what_cannot_be_built_leaves_the_link_as_it_was(machine: Machine) -> None:
    before = os.readlink(machine.env_dir / HARBOR)
    change_lock(machine, HARBOR)
    script(
        machine.bin / "uv", 'case "$1" in --version) echo uv 0.13.8;; *) echo "error: Failed to fetch"; exit 2;; esac'
    )
    with pytest.raises(EnvironmentBuildError, match="check the network"):
        needed(machine, HARBOR)
    assert os.readlink(machine.env_dir / HARBOR) == before


def test_an_unchanged_environment_is_returned_as_it_stands(machine: Machine) -> None:
    found = needed(machine, HARBOR)
    assert (found.built, found.path) == (False, (machine.env_dir / HARBOR).resolve())


def test_a_changed_lock_or_a_renewed_interpreter_is_built_for(machine: Machine) -> None:
    first = needed(machine, HARBOR)
    change_lock(machine, HARBOR)
    second = needed(machine, HARBOR)
    assert second.built
    assert second.record.inputs == inputs_of(HARBOR, machine.project)
    assert first.path.exists()  # a job may be at work in it
    python_twin(Path(first.record.interpreter), "3.13.9")  # in its place, as a system's upgrade does
    third = needed(machine, HARBOR)
    assert (third.built, third.record.version) == (True, "3.13.9")
    assert len({first.record.digest, second.record.digest, third.record.digest}) == 3


def test_harbor_stays_on_its_python_whatever_path_names_first(machine: Machine) -> None:
    elsewhere = python_twin(machine.folder / "other" / "python3.13", "3.13.7").parent
    first = needed(machine, HARBOR)
    change_lock(machine, HARBOR)
    path = f"{elsewhere}:{machine.bin}"
    assert needed(machine, HARBOR, PATH=path).record.interpreter == first.record.interpreter
    named = needed(machine, HARBOR, PATH=path, TRAJGEN_HARBOR_PYTHON=str(elsewhere / "python3.13"))
    assert named.record.interpreter == str(elsewhere / "python3.13")


def test_in_a_tree_that_is_read_only_the_environments_serve_as_they_stand() -> None:
    read_only = ("bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc")
    if subprocess.run([*read_only, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("bubblewrap cannot make a sandbox here")
    done = subprocess.run(
        [*read_only, sys.executable, "-B", "-c", FIND], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    env = Root.from_environ().env
    assert done.stdout.split() == [(env / name).resolve().name for name in (HARBOR, LITELLM)]


def test_who_may_have_to_build_later_is_told_where_packages_come_from_and_no_key() -> None:
    environ = {"UV_DEFAULT_INDEX": "i", "PIP_INDEX_URL": "p", "UV_PYTHON": "x", "LLM_API_KEY": "k", "PATH": "/bin"}
    assert build_settings(environ | {"TRAJGEN_HARBOR_PYTHON": "h"}) == {
        "UV_DEFAULT_INDEX": "i",
        "PIP_INDEX_URL": "p",
        "TRAJGEN_HARBOR_PYTHON": "h",
    }
