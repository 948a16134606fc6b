"""uv itself: the one on this machine if it is new enough, else our own in `.uv/`."""

import re
import shutil
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from trajgen_assets.core.errors import EnvironmentBuildError, RequirementError
from trajgen_assets.core.paths import PROJECT
from trajgen_assets.core.provision.command import Outcome, Say, run, tool_environ, which

LOWEST_UV = (0, 13, 0)
INSTALL_TIMEOUT_S = 600.0


def find_uv(project: Path, environ: Mapping[str, str]) -> Path | None:
    """The first uv that runs and is at least `LOWEST_UV`: ours, then PATH, then where its installer puts it."""
    home = Path(environ.get("HOME", "/"))
    places = [project / ".uv" / "bin" / "uv", *which("uv", environ), home / ".local/bin/uv", home / ".cargo/bin/uv"]
    return next((path for path in places if _version(path, environ) >= LOWEST_UV), None)


def require_uv(environ: Mapping[str, str], project: Path = PROJECT) -> Path:
    """`find_uv`, for those who come after set-up.

    Raises:
        RequirementError: there is none.
    """
    if (uv := find_uv(project, environ)) is not None:
        return uv
    raise RequirementError("there is no uv of version 0.13 or newer on this machine", mend="run `make setup`")


def _version(path: Path, environ: Mapping[str, str]) -> tuple[int, ...]:
    if not path.is_file():
        return ()
    outcome = run([path, "--version"], env=tool_environ(environ), timeout_s=5)
    match = re.search(r"^uv (\d+)\.(\d+)\.(\d+)", "\n".join(outcome.tail), re.MULTILINE)
    return tuple(int(part) for part in match.groups()) if outcome.ok and match else ()


def base_python() -> Path:
    """The Python that runs us, or the one beneath when that is a virtual environment."""
    return Path(getattr(sys, "_base_executable", sys.executable))


def can_install_uv() -> bool:
    """Whether this Python has a pip, or can make one; Debian's can do neither without its venv package."""
    return find_spec("pip") is not None or bool(_pip_wheels())


def bundled_pip() -> dict[str, str]:
    """The setting by which `python -m pip` runs where pip comes with Python but was not installed; else empty."""
    wheels = _pip_wheels() if find_spec("pip") is None else []
    return {"PYTHONPATH": str(wheels[-1])} if wheels else {}


def _pip_wheels() -> list[Path]:
    spec = find_spec("ensurepip")
    if spec is None or spec.origin is None:
        return []
    bundled, debian = Path(spec.origin).parent / "_bundled", Path("/usr/share/python-wheels")
    return sorted(path for folder in (bundled, debian) for path in folder.glob("pip-*.whl"))


def install_uv(project: Path, environ: Mapping[str, str], say: Say) -> Path:
    """Install the pinned uv into `.uv/` of the checkout, and nothing anywhere else.

    Raises:
        EnvironmentBuildError: pip could not get it.
    """
    home, lock, env = project / ".uv", project / "locks" / "uv.txt", tool_environ(environ)
    for leftover in ("bin", "lib", "include", "lib64"):  # not .uv/python: a downloaded Python is still good
        _remove(home / leftover)
    base = base_python()
    pip: list[str | Path] = ["-m", "pip", "install", "--quiet", "--require-hashes", "--requirement", lock]
    made = run([base, "-m", "venv", home], env=env, timeout_s=INSTALL_TIMEOUT_S)
    into_venv = [home / "bin" / "python", *pip]
    into_folder = [base, *pip, "--target", home]
    outcome = run(into_venv if made.ok else into_folder, env=env, timeout_s=INSTALL_TIMEOUT_S, on_line=say)
    uv = home / "bin" / "uv"
    if _version(uv, environ) >= LOWEST_UV:
        return uv
    raise _not_installed(home, outcome)


def _remove(path: Path) -> None:
    if path.is_symlink():
        path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)


def _not_installed(home: Path, outcome: Outcome) -> EnvironmentBuildError:
    return EnvironmentBuildError(
        "uv could not be installed",
        where=home,
        why=outcome.reason,
        mend="install uv 0.13 or newer yourself, and run `make setup` again",
    )
