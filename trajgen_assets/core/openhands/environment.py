"""The environment that `run_infer` runs in: an interpreter that a person names, or one made from a lock of theirs.

OpenHands itself is in neither: it is run from its checkout. The real environment has 84 packages and 1.7 GB.
"""

import hashlib
import os
import re
from collections.abc import Mapping
from importlib.metadata import distributions
from pathlib import Path

from trajgen_assets.core.config.config import Config
from trajgen_assets.core.config.openhands import OpenHands
from trajgen_assets.core.config.scaffolds import Harness
from trajgen_assets.core.errors import ConfigError, EnvironmentBuildError, RequirementError
from trajgen_assets.core.paths import PROJECT
from trajgen_assets.core.provision.command import Say
from trajgen_assets.core.provision.environments import (
    Environment,
    EnvironmentSpec,
    ensure_environment,
    standing_environment,
)
from trajgen_assets.core.provision.python import Interpreter, PythonRange, find_harbor_python, probe
from trajgen_assets.core.provision.record import Record, inputs_digest, is_current
from trajgen_assets.core.provision.uv import find_uv, install_uv

NAME = "openhands-uv"
# What openhands-ai 0.62.0 asks for: at least 3.12, and below 3.14.
OPENHANDS_PYTHONS = PythonRange(12, 13)

_PRINT_VERSION = "import sys; from importlib.metadata import version; print(version(sys.argv[1]))"
_MEND = "name a Python 3.12 or 3.13 in openhands.python"


def openhands_settings(config: Config) -> OpenHands:
    """The section `openhands`. Raises ConfigError if the file has none, which it need not with another harness."""
    chosen = config.runtime_info.input.openhands
    if chosen is None:
        mend = "add it, and set rollout.harness to openhands"
        raise ConfigError("the section runtime_info.input.openhands is missing", where=config.path, mend=mend)
    return chosen


def ready_environment(
    config: Config, env_dir: Path, say: Say, *, environ: Mapping[str, str] | None = None, rebuild: bool = False
) -> Environment:
    """Return the environment of the configuration, after making it if there is a lock of which none was made yet.

    Args:
        rebuild: make it anew though it is there; one that a person names is theirs, and is not touched.

    Raises:
        RequirementError: the interpreter does not run or is another Python, or nothing can be built here.
        EnvironmentBuildError: the lock cannot be installed; what stood before stands.
        ConfigError: the lock cannot be read.
    """
    environ = os.environ if environ is None else environ
    chosen = openhands_settings(config)
    interpreter = _named(config, chosen, environ) if chosen.python else None
    if chosen.lock is None:
        return named_environment(config, environ)
    lock, python = config.resolve(chosen.lock), interpreter or _found(environ)
    standing = None if rebuild else _standing(lock, python, env_dir)
    return standing or _made(lock, python, env_dir, say, environ, rebuild=rebuild)


def is_made_of_lock(config: Config) -> bool:
    """Whether OpenHands rolls out, in an environment that is made here."""
    chosen = config.runtime_info.input.openhands
    return config.runtime_info.input.rollout.harness is Harness.OPENHANDS and chosen is not None and bool(chosen.lock)


def named_environment(config: Config, environ: Mapping[str, str]) -> Environment:
    """The environment of the interpreter that the configuration names. Raises as `ready_environment` does."""
    chosen = openhands_settings(config)
    interpreter, home = _named(config, chosen, environ), config.resolve(chosen.python or "").parents[1]
    if not (home / "bin" / "python").exists():
        mend = "name bin/python of an environment in openhands.python"
        raise RequirementError(
            "the Python for OpenHands is of no environment", where=config.resolve(chosen.python or ""), mend=mend
        )
    installed = _installed(home)
    record = Record(NAME, str(interpreter.path), interpreter.version_text, _digest_of(installed), built_at="")
    return Environment(NAME, home, record)


def _named(config: Config, chosen: OpenHands, environ: Mapping[str, str]) -> Interpreter:
    path = config.resolve(chosen.python or "")
    found = probe(path, environ)
    if found is not None and found in OPENHANDS_PYTHONS:
        return found
    why = "it does not run" if found is None else f"it is {found.version_text}, and OpenHands takes {OPENHANDS_PYTHONS}"
    raise RequirementError("the Python for OpenHands cannot be used", where=path, why=why, mend=_MEND)


def _found(environ: Mapping[str, str]) -> Interpreter:
    found = find_harbor_python(PROJECT, None, environ)
    if found is None or found not in OPENHANDS_PYTHONS:
        raise RequirementError(f"OpenHands needs Python {OPENHANDS_PYTHONS}, and none was found", mend=_MEND)
    return found


def _standing(lock: Path, python: Interpreter, env_dir: Path) -> Environment | None:
    found = standing_environment(env_dir, NAME)
    if found is None or not lock.is_file() or not is_current(found.path, inputs_digest(lock)):
        return None
    return found if found.record.interpreter == str(python.path) else None


def _made(
    lock: Path, python: Interpreter, env_dir: Path, say: Say, environ: Mapping[str, str], *, rebuild: bool
) -> Environment:
    distribution = _first_pinned(lock)
    smoke = ("python", "-c", _PRINT_VERSION, distribution)
    spec = EnvironmentSpec(NAME, python.path, lock, distribution, smoke, has_sources=True)
    uv = find_uv(PROJECT, environ) or install_uv(PROJECT, environ, say)
    say(f"building the environment {NAME} on Python {python.version_text}")
    store, link = env_dir / "store", env_dir / NAME
    return ensure_environment(spec, store, link, say, uv=uv, environ=environ, rebuild=rebuild)


def _first_pinned(lock: Path) -> str:
    """A package of the lock by which one sees that all was installed; uv installs all or nothing."""
    try:
        text = lock.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        mend = "correct openhands.lock, or name an interpreter in openhands.python instead"
        raise ConfigError(
            "the lock of OpenHands' environment cannot be read", where=lock, why=error, mend=mend
        ) from error
    match = re.search(r"^([A-Za-z0-9][\w.-]*)==", text, re.MULTILINE)
    if match is None:
        mend = "write one with `uv pip compile --generate-hashes`"
        raise EnvironmentBuildError("the lock pins nothing", where=lock, mend=mend)
    return match[1]


def _installed(home: Path) -> list[str]:
    """Name and version of each package that lies in the environment."""
    places = [str(path) for path in home.glob("lib/python3.*/site-packages")]
    return sorted(f"{each.name}=={each.version}" for each in distributions(path=places))


def _digest_of(installed: list[str]) -> str:
    return hashlib.sha256("\n".join(installed).encode()).hexdigest()
