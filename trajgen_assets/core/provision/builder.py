"""uv, told to make an environment: every call that we make of it, and what its complaints mean."""

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trajgen_assets.core.errors import EnvironmentBuildError
from trajgen_assets.core.provision.command import Outcome, Say, run, tool_environ

BUILD_TIMEOUT_S = 1800.0

# Lines of uv that tell a waiting person nothing: one for each of a hundred packages, where a hidden folder is, or that
# sources were written for an earlier uv.
UNTOLD = ("+ ", "- ", "~ ", "Downloaded ", "Using Python ", "Resolved ", "warning: `build_system.requires")

# By what packages are built, with what these need themselves.
BUILD_TOOLS = frozenset({"setuptools", "wheel", "packaging", "poetry-core", "flit-core", "hatchling", "cython"})

# What uv prints when something outside is wrong, and what to do then. Everything already downloaded is kept by uv.
MENDS = (
    ("No space left on device", "free disk space, also where uv keeps its cache, then run `make setup` again"),
    ("Hash mismatch", "the index serves another file than the locked one: use another index, or renew by `make locks`"),
    (
        "not found in the package registry",
        "the index lacks a pinned version: use another index, or renew by `make locks`",
    ),
    ("Failed to fetch", "check the network, then run `make setup` again"),
    ("error sending request", "check the network, then run `make setup` again"),
)


@dataclass(frozen=True)
class Builder:
    """uv with all it needs. It inherits the lock, so that an orphaned uv still keeps other builders out.

    Every method raises EnvironmentBuildError with uv's own words when uv fails.
    """

    uv: Path
    environ: Mapping[str, str]
    on_line: Say
    lock_fd: int

    def create(self, path: Path, interpreter: Path) -> None:
        """Make an empty environment at `path`, in place of whatever is there. It may be moved."""
        options = ("--quiet", "--clear", "--relocatable", "--no-project", "--no-python-downloads")
        self._call(path, "venv", *options, "--python", interpreter, path)

    def sync(self, path: Path, lock: Path) -> None:
        """Bring `path` to exactly what `lock` pins: wheels only, by hash, compiled to bytecode.

        The proxy's first start took 33 s without bytecode and 9 s with it. `sync` resolves nothing, so that a
        lock made under an override installs as it is.
        """
        options = ("--require-hashes", "--no-build", "--compile-bytecode")
        self._call(path, "pip", "sync", *options, "--python", path / "bin" / "python", lock)

    def sync_with_sources(self, path: Path, lock: Path) -> None:
        """As `sync`, for a lock with packages of which there is only the source.

        What builds those is taken from the lock, too, and installed first: nothing unpinned is downloaded for it.
        """
        if pinned := pinned_tools(lock.read_text(encoding="utf-8")):
            tools = path / "build-tools.txt"
            tools.write_text(pinned, encoding="utf-8")
            self.sync(path, tools)
            tools.unlink()
        options = ("--require-hashes", "--no-build-isolation", "--compile-bytecode")
        self._call(path, "pip", "sync", *options, "--python", path / "bin" / "python", lock)

    def install_editable(self, path: Path, project: Path) -> None:
        """Install `project` itself into `path`, so that its sources are what runs."""
        options = ("--quiet", "--no-deps")
        self._call(path, "pip", "install", *options, "--python", path / "bin" / "python", "--editable", project)

    def install_built(self, path: Path, project: Path) -> None:
        """Build `project`, which is built by uv alone, and install it over the version that `path` has of it.

        Nothing is downloaded; what it requires must be what `path` has already.
        """
        python, wheels = path / "bin" / "python", path / "wheels"
        wheels.mkdir()
        before = self._misfits(path)  # a lock made under an override has some of its own
        self._call(path, "build-backend", "build-wheel", wheels, cwd=project)
        options = ("--quiet", "--no-deps", "--offline", "--compile-bytecode")
        self._call(path, "pip", "install", *options, "--python", python, *wheels.glob("*.whl"))
        shutil.rmtree(wheels)
        if misfits := sorted(self._misfits(path) - before):
            mend = "pin a commit whose requirements the lock meets, or renew it by `make locks`"
            why = " | ".join(misfits)
            raise EnvironmentBuildError("the pinned sources do not fit the lock", where=project, why=why, mend=mend)

    def _misfits(self, path: Path) -> set[str]:
        """What packages there require and have not, in uv's words."""
        said: list[str] = []
        argv: list[str | Path] = [self.uv, "pip", "check", "--python", path / "bin" / "python"]
        run(argv, env=tool_environ(self.environ), timeout_s=BUILD_TIMEOUT_S, on_line=said.append)
        return {line for line in said if line.startswith("The package ")}

    def _call(self, path: Path, *arguments: str | Path, cwd: Path | None = None) -> None:
        outcome = run(
            [self.uv, *arguments],
            env=tool_environ(self.environ),
            timeout_s=BUILD_TIMEOUT_S,
            on_line=self._tell,
            cwd=cwd,
            pass_fds=(self.lock_fd,),
        )
        if not outcome.ok:
            raise build_error(outcome, path)

    def _tell(self, line: str) -> None:
        if not (line.lstrip().startswith(UNTOLD) or line.endswith(".whl")):
            self.on_line(line)


def pinned_tools(lock: str) -> str:
    """Those entries of a lock by which other packages are built."""
    entries = re.findall(r"^[A-Za-z0-9][^\n]*(?:\n[ \t]+[^\n]*)*", lock, re.MULTILINE)
    return "".join(f"{each}\n" for each in entries if re.split(r"[=\s\[]", each, maxsplit=1)[0].lower() in BUILD_TOOLS)


def build_error(outcome: Outcome, path: Path) -> EnvironmentBuildError:
    """What stopped uv, and the mend where its complaint is a known one."""
    complaint = outcome.complaint
    fitting = (mend for sign, mend in MENDS if sign.lower() in complaint.lower())
    mend = next(fitting, "run `make setup` again; nothing half-built is left")
    return EnvironmentBuildError("an environment could not be built", where=path, why=complaint, mend=mend)
