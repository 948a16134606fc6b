from pathlib import Path

import pytest

from tests.unit.provision.twins import failing_shim, python_twin, script
from trajgen_assets.core.errors import RequirementError
from trajgen_assets.core.provision.python import (
    HARBOR_PYTHONS,
    Interpreter,
    download_harbor_python,
    downloads,
    find_harbor_python,
    no_harbor_python,
    probe,
    running_python,
)


def environ(tmp_path: Path, *folders: str) -> dict[str, str]:
    path = ":".join(str(tmp_path / folder) for folder in folders)
    return {"PATH": path, "HOME": str(tmp_path), "PYENV_ROOT": str(tmp_path / "pyenv")}


def found(tmp_path: Path, *folders: str) -> Path | None:
    interpreter = find_harbor_python(tmp_path, None, environ(tmp_path, *folders))
    return interpreter.path if interpreter else None


@pytest.mark.parametrize("body", ["exit 1", "echo not json", "echo", "kill -9 $$"])
def test_a_python_that_does_not_answer_is_none(tmp_path: Path, body: str) -> None:
    assert probe(script(tmp_path / "python3", body), {"PATH": "/bin"}) is None


def test_a_python_without_its_libraries_is_none(tmp_path: Path) -> None:
    assert probe(python_twin(tmp_path / "python3", "3.13.0", usable=False), {"PATH": "/bin"}) is None


def test_a_missing_file_is_none(tmp_path: Path) -> None:
    assert probe(tmp_path / "python3", {}) is None


def test_the_python_that_runs_us_is_named_by_its_real_file() -> None:
    interpreter = running_python({"PATH": "/bin"})
    assert interpreter.path.is_file()
    assert not interpreter.path.is_symlink()


def test_a_shim_on_path_that_fails_is_passed_over_for_one_behind_it(tmp_path: Path) -> None:
    failing_shim(tmp_path / "shims" / "python3.13")
    real = python_twin(tmp_path / "bin" / "python3.13", "3.13.2")
    assert found(tmp_path, "shims", "bin") == real


def test_a_newer_name_does_not_win_over_what_harbor_was_run_on(tmp_path: Path) -> None:
    python_twin(tmp_path / "bin" / "python3.14", "3.14.0")
    python_twin(tmp_path / "bin" / "python3.12", "3.12.0")
    real = python_twin(tmp_path / "bin" / "python3.13", "3.13.2")
    assert found(tmp_path, "bin") == real


def test_a_plain_python3_serves_where_it_is_new_enough(tmp_path: Path) -> None:
    real = python_twin(tmp_path / "bin" / "python3", "3.12.0")
    assert found(tmp_path, "bin") == real


@pytest.mark.parametrize("version", [(3, 11, 9), (3, 15, 0), (2, 7, 18)])
def test_a_version_without_wheels_in_the_lock_is_passed_over(tmp_path: Path, version: tuple[int, int, int]) -> None:
    python_twin(tmp_path / "bin" / "python3.13", ".".join(map(str, version)))
    assert Interpreter(Path("/x"), version) not in HARBOR_PYTHONS
    assert found(tmp_path, "bin") is None


def test_the_newest_of_pyenv_serves_where_path_has_none(tmp_path: Path) -> None:
    failing_shim(tmp_path / "shims" / "python3.13")
    python_twin(tmp_path / "pyenv" / "versions" / "3.12.9" / "bin" / "python3", "3.12.9")
    real = python_twin(tmp_path / "pyenv" / "versions" / "3.12.10" / "bin" / "python3", "3.12.10")
    python_twin(tmp_path / "pyenv" / "versions" / "3.11.7" / "bin" / "python3", "3.11.7")
    assert found(tmp_path, "shims") == real


def test_one_that_was_downloaded_before_is_found_again(tmp_path: Path) -> None:
    real = python_twin(downloads(tmp_path) / "cpython-3.13.1-linux-x86_64-gnu" / "bin" / "python3", "3.13.1")
    assert found(tmp_path, "empty") == real


def test_the_configured_python_is_taken_before_any_other(tmp_path: Path) -> None:
    python_twin(tmp_path / "bin" / "python3.13", "3.13.2")
    chosen = python_twin(tmp_path / "own" / "python", "3.12.0")
    by_argument = find_harbor_python(tmp_path, chosen, environ(tmp_path, "bin"))
    by_variable = find_harbor_python(tmp_path, None, environ(tmp_path, "bin") | {"TRAJGEN_HARBOR_PYTHON": str(chosen)})
    assert by_argument == by_variable == Interpreter(chosen, (3, 12, 0))


@pytest.mark.parametrize(("version", "why"), [("3.11.2", "it is 3.11.2, not 3.12 to 3.14"), (None, "it does not run")])
def test_a_configured_python_that_does_not_serve_is_refused_not_replaced(
    tmp_path: Path, version: str | None, why: str
) -> None:
    python_twin(tmp_path / "bin" / "python3.13", "3.13.2")
    path = tmp_path / "own" / "python"
    chosen = python_twin(path, version) if version else failing_shim(path)
    with pytest.raises(RequirementError, match=why):
        find_harbor_python(tmp_path, chosen, environ(tmp_path, "bin"))


def test_a_failed_download_says_which_python_to_install(tmp_path: Path) -> None:
    uv = script(tmp_path / "uv", "echo '  cause: no route to host' >&2; exit 2")
    with pytest.raises(RequirementError) as raised:
        download_harbor_python(tmp_path, uv, environ(tmp_path, "empty"), lambda _line: None)
    assert str(raised.value) == (
        "Harbor needs Python 3.12 to 3.14, and none runs here: uv could not download one: no route to host. "
        "Mend: install one, or name one: make setup TRAJGEN_HARBOR_PYTHON=/path/to/python3.13"
    )
    assert raised.value.what == no_harbor_python("").what


def test_a_download_lands_in_the_checkout_and_is_used(tmp_path: Path) -> None:
    home = tmp_path / "made" / "cpython-3.13.9" / "bin"
    python_twin(home / "python3", "3.13.9")
    uv = script(
        tmp_path / "uv", f'/bin/mkdir -p "{tmp_path}/.uv" && [ "$4" = --no-bin ] && /bin/mv "{tmp_path}/made" "$6"'
    )
    interpreter = download_harbor_python(tmp_path, uv, environ(tmp_path, "empty"), lambda _line: None)
    assert interpreter.version == (3, 13, 9)
