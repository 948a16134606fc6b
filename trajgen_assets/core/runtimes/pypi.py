"""A runtime from PyPI: the packages of a hash-pinned lock, beside a Python that runs in any image."""

import hashlib
import shutil
from pathlib import Path

from trajgen_assets.core.provision.builder import BUILD_TIMEOUT_S, build_error
from trajgen_assets.core.provision.command import run
from trajgen_assets.core.runtimes.catalogue import PypiBlueprint
from trajgen_assets.core.runtimes.libraries import host_glibc
from trajgen_assets.core.runtimes.locks import Lock
from trajgen_assets.core.runtimes.manifest import Package
from trajgen_assets.core.runtimes.python_home import PythonHome
from trajgen_assets.core.runtimes.tools import Tools


def build_from_pypi(blueprint: PypiBlueprint, lock: Lock, home: Path, tools: Tools, lock_fd: int) -> dict[str, Package]:
    """Fill the empty folder `home`. Returns what was installed.

    Raises:
        EnvironmentBuildError: uv failed, or the Python cannot be taken along.
        RequirementError: the C library of this host cannot be taken along.
    """
    host_glibc()
    fetched = home / "fetched"
    _fetch(lock, fetched, tools, lock_fd)
    tools.say(f"taking along Python {tools.python.version_text}")
    python = PythonHome(home, tools.python.path, tools.source_environ)
    python.copy()
    packages = python.packages()
    packages.parent.mkdir(parents=True, exist_ok=True)
    fetched.rename(packages)
    for name, entry_point in blueprint.entry_points.items():
        python.add_program(name, entry_point)
    python.take_libraries()
    return dict(_package(path) for path in sorted(packages.glob("*.dist-info")))


def _fetch(lock: Lock, target: Path, tools: Tools, lock_fd: int) -> None:
    """Install what `lock` pins to `target`: wheels only, by hash, as bytecode. Without programs: they name a Python."""
    options = ["--require-hashes", "--no-build", "--compile-bytecode", "--link-mode", "copy"]
    interpreter = tools.python.path
    argv: list[str | Path] = [
        tools.uv, "pip", "sync", *options, "--python", interpreter, "--target", target, lock.path
    ]  # fmt: skip
    outcome = run(argv, env=tools.environ, timeout_s=BUILD_TIMEOUT_S, pass_fds=(lock_fd,))
    if not outcome.ok:
        raise build_error(outcome, target.parent)
    shutil.rmtree(target / "bin", ignore_errors=True)


def needs_of_pypi() -> str:
    """What an image has to have for a Python that was taken along from this host."""
    return f"nothing but /bin/sh: glibc {'.'.join(map(str, host_glibc()))} and all libraries come along"


def _package(folder: Path) -> tuple[str, Package]:
    name, _, version = folder.name.removesuffix(".dist-info").rpartition("-")
    digest = hashlib.sha256((folder / "RECORD").read_bytes()).hexdigest()
    return name, Package(version=version, digest=f"sha256:{digest}")
