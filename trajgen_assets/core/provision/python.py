"""Pythons that really run. A name on PATH proves nothing: a pyenv shim answers `command not found`."""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from trajgen_assets.core.errors import RequirementError
from trajgen_assets.core.provision.command import HARBOR_PYTHON_VARIABLE, Say, run, tool_environ, which

PROBE_TIMEOUT_S = 5.0
DOWNLOAD_TIMEOUT_S = 60.0

# Prints where it lies and what it is. The imports are what a Python built without its libraries lacks.
PROBE = """
import bz2, ctypes, lzma, sqlite3, ssl, zlib
import json, os, sys, sysconfig
usable = sys.implementation.name == "cpython" and not sysconfig.get_config_var("Py_GIL_DISABLED")
print(json.dumps([os.path.realpath(sys.executable), sys.version_info[:3], bool(usable)]))
"""


@dataclass(frozen=True)
class Interpreter:
    """A CPython that ran when asked. `path` is the real file behind links, shims and virtual environments."""

    path: Path
    version: tuple[int, int, int]

    @property
    def version_text(self) -> str:
        return ".".join(str(part) for part in self.version)


@dataclass(frozen=True)
class PythonRange:
    """Minor versions of Python 3 that a lock has wheels for, both ends included."""

    lowest: int
    highest: int

    def __contains__(self, interpreter: object) -> bool:
        return (
            isinstance(interpreter, Interpreter)
            and interpreter.version[0] == 3
            and self.lowest <= interpreter.version[1] <= self.highest
        )

    def __str__(self) -> str:
        return f"3.{self.lowest} to 3.{self.highest}"


PLATFORM_PYTHONS = PythonRange(11, 13)
HARBOR_PYTHONS = PythonRange(12, 14)
PREFERRED_NAMES = ("python3.13", "python3.12", "python3.14", "python3", "python")  # first what Harbor was run on
DOWNLOADED_VERSION = "3.13"


def probe(path: Path, environ: Mapping[str, str]) -> Interpreter | None:
    """Run the Python at `path`. None if it does not run, is not CPython, or lacks a part that we need."""
    outcome = run([path, "-I", "-c", PROBE], env=tool_environ(environ), timeout_s=PROBE_TIMEOUT_S)
    if not (outcome.ok and outcome.tail):
        return None
    try:
        real_path, version, is_usable = json.loads(outcome.tail[-1])
    except ValueError:
        return None
    return Interpreter(Path(real_path), tuple(version)) if is_usable else None


def running_python(environ: Mapping[str, str]) -> Interpreter:
    """The Python that runs us, or the one beneath when that is a virtual environment.

    Raises:
        RequirementError: it is outside `PLATFORM_PYTHONS`, or lacks a part of the standard library.
    """
    interpreter = probe(Path(sys.executable), environ)
    if interpreter is None or interpreter not in PLATFORM_PYTHONS:
        raise RequirementError(
            f"this Python cannot carry trajgen, which needs {PLATFORM_PYTHONS} with ssl, sqlite3, bz2 and lzma",
            where=sys.executable,
            mend="install one, or name one: make setup TRAJGEN_PYTHON=/path/to/python3.13",
        )
    return interpreter


def find_harbor_python(project: Path, configured: Path | None, environ: Mapping[str, str]) -> Interpreter | None:
    """The Python for Harbor's environment: the configured one, else the first that runs, else None.

    The order: `configured`, `TRAJGEN_HARBOR_PYTHON`, every entry of PATH, the newest of pyenv, one that an
    earlier set-up downloaded.

    Raises:
        RequirementError: the configured one does not run or has the wrong version. No other is taken instead.
    """
    named = configured or (Path(environ[HARBOR_PYTHON_VARIABLE]) if environ.get(HARBOR_PYTHON_VARIABLE) else None)
    if named is not None:
        return _configured(named, environ)
    probed = (probe(path, environ) for path in _candidates(project, environ))
    return next((each for each in probed if each in HARBOR_PYTHONS), None)


def _configured(path: Path, environ: Mapping[str, str]) -> Interpreter:
    interpreter = probe(path.expanduser().absolute(), environ)
    if interpreter is not None and interpreter in HARBOR_PYTHONS:
        return interpreter
    raise RequirementError(
        "the Python that is configured for Harbor cannot be used",
        where=path,
        why="it does not run" if interpreter is None else f"it is {interpreter.version_text}, not {HARBOR_PYTHONS}",
        mend=f"name another by --harbor-python or {HARBOR_PYTHON_VARIABLE}, or none, to have one looked for",
    )


def _candidates(project: Path, environ: Mapping[str, str]) -> Iterator[Path]:
    for name in PREFERRED_NAMES:
        yield from which(name, environ)
    pyenv = Path(environ.get("PYENV_ROOT") or Path(environ.get("HOME", "/")) / ".pyenv")
    yield from _newest_first(pyenv / "versions")
    yield from _newest_first(downloads(project))


def _newest_first(versions: Path) -> Iterator[Path]:
    found = (path for path in versions.glob("*3.1[2-4]*/bin/python3"))
    yield from sorted(found, key=lambda path: [int(part) for part in re.findall(r"\d+", path.parts[-3])], reverse=True)


def downloads(project: Path) -> Path:
    """Where a Python that uv downloaded lies: in the checkout, so that nothing of the user's changes."""
    return project / ".uv" / "python"


def download_harbor_python(project: Path, uv: Path, environ: Mapping[str, str], say: Say) -> Interpreter:
    """Have uv download Python for Harbor.

    Raises:
        RequirementError: it could not; the message says which Python to install instead.
    """
    argv: list[str | Path] = [
        uv,
        "python",
        "install",
        DOWNLOADED_VERSION,
        "--no-bin",
        "--install-dir",
        downloads(project),
    ]
    outcome = run(argv, env=tool_environ(environ), timeout_s=DOWNLOAD_TIMEOUT_S, on_line=say)
    interpreter = find_harbor_python(project, None, environ) if outcome.ok else None
    if interpreter is None:
        raise no_harbor_python(f"uv could not download one: {outcome.reason}")
    return interpreter


def no_harbor_python(why: str) -> RequirementError:
    """The error of a machine on which Harbor cannot run."""
    return RequirementError(
        f"Harbor needs Python {HARBOR_PYTHONS}, and none runs here",
        why=why,
        mend=f"install one, or name one: make setup {HARBOR_PYTHON_VARIABLE}=/path/to/python{DOWNLOADED_VERSION}",
    )
