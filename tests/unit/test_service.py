"""The unit of the daemon: what systemd is given, whose it is, and that nothing of another root is touched."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from trajgen_assets.core.errors import ConfigError
from trajgen_assets.core.paths import PROJECT, Root
from trajgen_assets.core.service import Unit, install, uninstall, unit_folder, unit_of


@pytest.fixture(autouse=True)
def own_units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))


def unit_at(folder: Path, name: str = "trajgen", port: int = 3000) -> Unit:
    folder.mkdir(parents=True, exist_ok=True)
    program = shutil.which("true") or "/bin/true"
    return Unit(name, Path(program), Root(folder, folder / "env"), folder / "config.yaml", PROJECT, port, os.defpath)


def lines_of(unit: Unit) -> dict[str, str]:
    return dict(line.split("=", 1) for line in unit.text.splitlines() if "=" in line)


def test_it_starts_one_absolute_program_again_after_a_failure_and_ends_it_gently(tmp_path: Path) -> None:
    lines = lines_of(unit_at(tmp_path / "place"))
    assert lines["ExecStart"].startswith('"/')
    assert lines["ExecStart"].endswith(f'"--config" "{tmp_path}/place/config.yaml" "ui" "--port" "3000"')
    assert (lines["Restart"], lines["KillMode"]) == ("on-failure", "mixed")
    assert int(lines["TimeoutStopSec"]) >= 180


def test_it_holds_no_value_of_the_environment_but_the_search_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLM_API_KEY", "planted-secret-4711")
    text = unit_at(tmp_path / "root").text
    assert "planted-secret-4711" not in text
    assert "EnvironmentFile" not in text


@pytest.mark.parametrize("name", ["plain", "with a space", 'with "quotes"', "with 100% and $HOME"])
def test_systemd_itself_takes_it_whatever_the_root_is_called(tmp_path: Path, name: str) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd-analyze here")
    unit = unit_at(tmp_path / name)
    install(unit)
    env = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    verify = ["systemd-analyze", "--user", "verify", "--man=no", str(unit.path)]
    done = subprocess.run(verify, env=env, capture_output=True, text=True, timeout=60, check=False)
    if "Failed to initialize manager" in done.stderr:
        pytest.skip(f"systemd-analyze does not work here: {done.stderr.strip()}")
    assert (done.returncode, done.stderr) == (0, "")


def test_installing_again_changes_nothing_unless_something_has_changed(tmp_path: Path) -> None:
    assert install(unit_at(tmp_path / "root"))
    assert not install(unit_at(tmp_path / "root"))
    assert install(unit_at(tmp_path / "root", port=3001))
    assert list(unit_folder().iterdir()) == [unit_folder() / "trajgen.service"]


def test_a_unit_is_known_by_its_root_and_gone_when_it_is_removed(tmp_path: Path) -> None:
    one, other = unit_at(tmp_path / "one"), unit_at(tmp_path / "other", "trajgen-other")
    install(one)
    install(other)
    assert (unit_of(one.root), unit_of(other.root)) == (one.path, other.path)
    uninstall(one.path)
    assert (unit_of(one.root), unit_of(other.root)) == (None, other.path)


def test_the_unit_of_another_root_or_of_somebody_else_is_left_as_it_is(tmp_path: Path) -> None:
    install(unit_at(tmp_path / "one"))
    before = unit_at(tmp_path / "one").path.read_text()
    with pytest.raises(ConfigError, match=f"it is of {tmp_path / 'one'}.*--name trajgen-other"):
        install(unit_at(tmp_path / "other"))
    assert unit_at(tmp_path / "one").path.read_text() == before
    (unit_folder() / "trajgen-mine.service").write_text("[Service]\nExecStart=/bin/true\n")
    with pytest.raises(ConfigError, match="it is of somebody else"):
        install(unit_at(tmp_path / "other", "trajgen-mine"))


def test_a_root_has_one_service(tmp_path: Path) -> None:
    install(unit_at(tmp_path / "root"))
    with pytest.raises(ConfigError, match="this root has a service of another name"):
        install(unit_at(tmp_path / "root", "trajgen-again"))
