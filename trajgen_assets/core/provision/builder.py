"""uv, told to make an environment: every call that we make of it, and what its complaints mean."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trajgen_assets.core.errors import EnvironmentBuildError
from trajgen_assets.core.provision.command import Outcome, Say, run, tool_environ

BUILD_TIMEOUT_S = 1800.0

# Lines of uv that tell a waiting person nothing: one for each of a hundred packages, or where a hidden folder is.
UNTOLD = ("+ ", "- ", "~ ", "Downloaded ", "Using Python ", "Resolved ")

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

    def install_editable(self, path: Path, project: Path) -> None:
        """Install `project` itself into `path`, so that its sources are what runs."""
        options = ("--quiet", "--no-deps")
        self._call(path, "pip", "install", *options, "--python", path / "bin" / "python", "--editable", project)

    def _call(self, path: Path, *arguments: str | Path) -> None:
        outcome = run(
            [self.uv, *arguments],
            env=tool_environ(self.environ),
            timeout_s=BUILD_TIMEOUT_S,
            on_line=self._tell,
            pass_fds=(self.lock_fd,),
        )
        if not outcome.ok:
            raise build_error(outcome, path)

    def _tell(self, line: str) -> None:
        if not line.lstrip().startswith(UNTOLD):
            self.on_line(line)


def build_error(outcome: Outcome, path: Path) -> EnvironmentBuildError:
    """What stopped uv, and the mend where its complaint is a known one."""
    complaint = outcome.complaint
    fitting = (mend for sign, mend in MENDS if sign.lower() in complaint.lower())
    mend = next(fitting, "run `make setup` again; nothing half-built is left")
    return EnvironmentBuildError("an environment could not be built", where=path, why=complaint, mend=mend)
