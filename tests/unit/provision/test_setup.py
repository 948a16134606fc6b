import os
import subprocess
import time
from pathlib import Path

import pytest

from tests.unit.provision.twins import failing_shim, python_twin, script
from trajgen_assets.core.errors import RequirementError
from trajgen_assets.core.paths import PROJECT
from trajgen_assets.core.provision.packages import Authority
from trajgen_assets.core.provision.record import Record, inputs_digest
from trajgen_assets.core.provision.setup import HARBOR, LITELLM, LLAMA_FACTORY, LOCKS, PLATFORM, setup
from trajgen_assets.core.provision.system import Check, check_system

CHECKED = [
    "system",
    "Python",
    "Python for Harbor",
    "uv",
    "package index",
    "disk",
    "memory",
    "git",
    "tmux",
    "bubblewrap",
]


class Machine:
    """A machine made of scripts: it has all that set-up looks for, except what a test takes away."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self.project = folder / "checkout"
        self.env_dir = self.project / "artifacts" / "env"
        for program in ("git", "tmux", "bwrap"):
            script(self.bin / program, "")
        script(self.bin / "uv", 'case "$1" in --version) echo uv 0.13.8;; esac')
        python_twin(self.bin / "python3.13", "3.13.2")
        (self.project / "locks").mkdir(parents=True)
        (self.project / "pyproject.toml").write_text("[project]\n", encoding="utf-8")
        for lock in LOCKS.values():
            (self.project / "locks" / lock).write_text(lock, encoding="utf-8")

    @property
    def environ(self) -> dict[str, str]:
        return {"PATH": str(self.bin), "HOME": str(self.folder), "TMPDIR": str(self.folder)}

    def lacks(self, program: str) -> None:
        (self.bin / program).unlink()

    def is_set_up(self) -> None:
        """As if the three environments of plain set-up had been built."""
        for name in (PLATFORM, LITELLM, HARBOR):
            self.has_built(name)

    def has_built(self, name: str) -> None:
        """As if the environment `name` had been built."""
        home = self.project / PLATFORM if name == PLATFORM else self.env_dir / name
        extra = (self.project / "pyproject.toml",) if name == PLATFORM else ()
        place = str(self.project) if name == PLATFORM else ""
        inputs = inputs_digest(self.project / "locks" / LOCKS[name], *extra, place=place)
        (home / "bin").mkdir(parents=True)
        (home / "bin" / "python").symlink_to(self.bin / "python3.13")
        Record(name, os.path.realpath(self.bin / "python3.13"), "3.13.2", inputs, "").write(home)

    def setup(self, authority: Authority | None = None, *, sandbox: bool = False, tests: bool = False) -> list[str]:
        told: list[str] = []
        setup(
            self.project,
            self.env_dir,
            say=told.append,
            authority=authority or Authority(),
            environ=self.environ,
            sandbox=sandbox,
            tests=tests,
        )
        return told

    def can_build(self) -> None:
        """uv makes environments in which every program prints the version that our locks pin."""
        for distribution, name in (("litellm", LITELLM), ("harbor", HARBOR), ("llamafactory", LLAMA_FACTORY)):
            (self.project / "locks" / LOCKS[name]).write_text(f"{distribution}==1.0\n", encoding="utf-8")
        program = script(self.folder / "prints_version", "echo 1.0")
        make = f'for home in "$@"; do :; done; /bin/mkdir -p "$home/bin"; /bin/cp {program} "$home/bin/python"'
        make += f'; /bin/cp {program} "$home/bin/harbor"'
        script(self.bin / "uv", f'case "$1" in --version) echo uv 0.13.8;; venv) {make};; esac')

    def check(self, **settings: str) -> dict[str, Check]:
        environ = self.environ | settings
        checks = check_system(self.project, self.env_dir, environ=environ, authority=Authority())
        return {check.name: check for check in checks}


def steps(told: list[str]) -> list[str]:
    return [line for line in told if line.startswith("[")]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_missing_program_without_root_and_terminal_stops_with_the_line_to_run(machine: Machine) -> None:
    machine.lacks("tmux")
    machine.lacks("bwrap")
    script(machine.bin / "apt-get", f"echo ran > {machine.folder}/ran")
    with pytest.raises(RequirementError) as raised:
        machine.setup(Authority(is_root=False))
    assert str(raised.value) == (
        "missing on this system: tmux, bubblewrap. "
        "Mend: run `sudo apt-get install -y --no-install-recommends tmux bubblewrap`"
    )
    assert not (machine.folder / "ran").exists()
    assert not (machine.project / ".venv").exists()
    assert not machine.env_dir.exists()


def test_what_no_package_mends_is_told_before_any_package_is_installed(machine: Machine) -> None:
    machine.lacks("tmux")
    script(machine.bin / "apt-get", f"echo ran > {machine.folder}/ran")
    script(machine.bin / "uv", 'case "$1" in --version) echo uv 0.13.8;; *) echo "error: no route"; exit 2;; esac')
    with pytest.raises(RequirementError, match="package index: does not answer: no route"):
        machine.setup(Authority(is_root=True))
    assert not (machine.folder / "ran").exists()


def test_root_gets_what_is_missing_and_set_up_goes_on(machine: Machine) -> None:
    machine.is_set_up()
    machine.lacks("tmux")
    script(machine.bin / "apt-get", f"/bin/cp {machine.bin}/git {machine.bin}/tmux")
    assert machine.setup(Authority(is_root=True))[-1] == "set-up is complete"


def test_a_complete_set_up_says_so_at_once(machine: Machine) -> None:
    machine.is_set_up()
    script(machine.bin / "uv", "exit 1")  # would be asked if anything were left to do
    started_at = time.monotonic()
    assert machine.setup() == ["set-up is complete"]
    assert time.monotonic() - started_at < 1


def test_plain_set_up_builds_nothing_that_only_the_tests_need(machine: Machine) -> None:
    machine.can_build()
    assert steps(machine.setup()) == ["[1/3] trajgen and Dagster", "[2/3] LiteLLM proxy", "[3/3] Harbor"]
    assert not (machine.env_dir / LLAMA_FACTORY).exists()


def test_set_up_for_the_tests_adds_one_environment_to_a_complete_set_up(machine: Machine) -> None:
    machine.can_build()
    machine.is_set_up()
    assert machine.setup() == ["set-up is complete"]
    assert steps(machine.setup(tests=True)) == ["[1/1] LLaMA-Factory's data code, for the tests"]
    assert (machine.env_dir / LLAMA_FACTORY / "bin" / "python").exists()


def test_a_complete_set_up_for_the_tests_says_so_at_once(machine: Machine) -> None:
    machine.is_set_up()
    machine.has_built(LLAMA_FACTORY)
    script(machine.bin / "uv", "exit 1")  # would be asked if anything were left to do
    assert machine.setup(tests=True) == ["set-up is complete"]


@pytest.mark.parametrize(("target", "builds_it"), [("test", True), ("setup", False), ("demo", False), ("ui", False)])
def test_only_make_test_asks_for_what_the_tests_need(target: str, builds_it: bool) -> None:
    lines = subprocess.run(
        ["make", "--dry-run", target], cwd=PROJECT, capture_output=True, text=True, timeout=20, check=True
    ).stdout
    assert "scripts/bootstrap" in lines
    assert ("scripts/bootstrap --tests" in lines) == builds_it


def test_a_sandbox_that_cannot_work_warns_unless_it_is_needed(machine: Machine) -> None:
    machine.is_set_up()
    script(machine.bin / "bwrap", "echo 'bwrap: setting up uid map: Permission denied' >&2; exit 1")
    assert machine.setup() == ["set-up is complete"]
    with pytest.raises(RequirementError, match="cannot make a sandbox: bwrap: setting up uid map"):
        machine.setup(sandbox=True)


def test_a_changed_lock_is_not_a_complete_set_up(machine: Machine) -> None:
    machine.is_set_up()
    (machine.project / "locks" / "harbor.txt").write_text("harbor==9\n", encoding="utf-8")
    machine.lacks("git")
    with pytest.raises(RequirementError):
        machine.setup()


def test_every_check_is_one_line_with_its_mend(machine: Machine) -> None:
    machine.lacks("git")
    checks = machine.check()
    assert list(checks) == CHECKED
    assert checks["git"].line.startswith("  missing  git                not installed. Mend: ")
    assert all("\n" not in check.line for check in checks.values())


def test_no_python_for_harbor_is_left_to_uv_unless_downloads_are_refused(machine: Machine) -> None:
    machine.lacks("python3.13")
    failing_shim(machine.bin / "python3.12")
    assert machine.check()["Python for Harbor"].ok
    refused = machine.check(UV_PYTHON_DOWNLOADS="never")["Python for Harbor"]
    assert not refused.ok
    assert refused.detail == "Harbor needs Python 3.12 to 3.14, and none runs here: uv is told to download none"
    assert refused.mend == "install one, or name one: make setup TRAJGEN_HARBOR_PYTHON=/path/to/python3.13"


def test_a_disk_too_small_is_told_with_both_figures(machine: Machine) -> None:
    checks = check_system(
        machine.project, machine.env_dir, environ=machine.environ, disk_mb=10**9, authority=Authority()
    )
    disk = next(check for check in checks if check.name == "disk")
    assert not disk.ok
    assert "976562.5 GB needed" in disk.detail


def test_an_index_that_never_answers_costs_five_seconds_at_most(machine: Machine) -> None:
    script(machine.bin / "uv", 'case "$1" in --version) echo uv 0.13.8;; *) exec /bin/sleep 60;; esac')
    started_at = time.monotonic()
    assert machine.check()["package index"].detail == "does not answer: no answer in time"
    assert time.monotonic() - started_at < 8


def test_without_a_python_that_fits_the_bootstrap_says_which_to_install(tmp_path: Path) -> None:
    for program in ("dirname", "cat"):
        (tmp_path / program).symlink_to(f"/usr/bin/{program}")
    failing_shim(tmp_path / "python3")
    done = subprocess.run(
        ["/bin/sh", PROJECT / "scripts" / "bootstrap"],
        env={"PATH": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("set-up stopped: no Python 3.11, 3.12 or 3.13 runs here. Mend: install one")
