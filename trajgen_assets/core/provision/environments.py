"""uv environments from hash-pinned locks: each is complete under its name in the store, or not there at all."""

import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from trajgen_assets.core.clock import stamp
from trajgen_assets.core.errors import EnvironmentBuildError, RequirementError
from trajgen_assets.core.provision.builder import Builder
from trajgen_assets.core.provision.command import Say, run, tool_environ
from trajgen_assets.core.provision.python import Interpreter, probe
from trajgen_assets.core.provision.record import Record, inputs_digest, is_current
from trajgen_assets.core.provision.uv import require_uv

SMOKE_TIMEOUT_S = 120.0  # `harbor --version` takes 1 s; on a busy machine with a cold disk far longer


@dataclass(frozen=True)
class EnvironmentSpec:
    """What an environment is made of.

    Args:
        name: the name of its link in the environments folder.
        python: the interpreter that it is made for.
        lock: fully pinned requirements with hashes.
        distribution: the package of the lock that it is for.
        smoke: a program of the environment and its arguments, which print the version of `distribution`.
    """

    name: str
    python: Path
    lock: Path
    distribution: str
    smoke: tuple[str, ...]

    @property
    def locked_version(self) -> str:
        """The version of `distribution` in the lock.

        Raises:
            EnvironmentBuildError: the lock does not pin it.
        """
        text = self.lock.read_text(encoding="utf-8")
        match = re.search(rf"^{re.escape(self.distribution)}==(\S+)", text, re.MULTILINE)
        if match is None:
            raise EnvironmentBuildError(
                f"the lock does not pin {self.distribution}", where=self.lock, mend="run `make locks`"
            )
        return match[1]


@dataclass(frozen=True)
class Environment:
    """An environment that is complete. `path` is its folder; `built` says whether this call made it."""

    name: str
    path: Path
    built: bool

    @property
    def python(self) -> Path:
        return self.path / "bin" / "python"


def environment_python(env_dir: Path, name: str) -> Path:
    """The Python of the environment `name`, by its place in the store.

    Not by the link: an environment that is replaced while a job runs must not change under the job.

    Raises:
        RequirementError: the environment is not there.
    """
    python = (env_dir / name).resolve() / "bin" / "python"
    if not os.access(python, os.X_OK):
        raise RequirementError(f"the environment {name} is not set up", where=env_dir / name, mend="run `make setup`")
    return python


def ensure_environment(
    spec: EnvironmentSpec,
    store: Path,
    link: Path,
    on_line: Say,
    *,
    uv: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> Environment:
    """Make the environment of `spec` in `store` unless it is there, and point `link` at it.

    Built in a hidden folder, tried, then renamed: a folder under its final name is complete. Two builders at
    once build once. Whatever stops it, an earlier environment and its link stay as they were.

    Raises:
        EnvironmentBuildError: uv failed, or what it built does not run.
        RequirementError: the interpreter does not run, or there is no uv.
    """
    environ = os.environ if environ is None else environ
    interpreter = _interpreter(spec, environ)
    inputs = inputs_digest(spec.lock)
    identity = json.dumps([str(interpreter.path), interpreter.version_text, inputs])
    home = store / f"{spec.name}-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"
    _refuse_folder(link)
    with locked(store / f".{spec.name}.lock", on_line) as lock_fd:
        built = not is_current(home, inputs)
        if built:
            record = Record(spec.name, str(interpreter.path), interpreter.version_text, inputs, stamp())
            _build(spec, record, home, Builder(uv or require_uv(environ), environ, on_line, lock_fd))
        _replace_link(link, home)
    return Environment(spec.name, home, built)


def _interpreter(spec: EnvironmentSpec, environ: Mapping[str, str]) -> Interpreter:
    if (interpreter := probe(spec.python, environ)) is not None:
        return interpreter
    raise RequirementError(f"the Python for {spec.name} does not run", where=spec.python, mend="run `make setup` again")


def _build(spec: EnvironmentSpec, record: Record, home: Path, builder: Builder) -> None:
    building = home.with_name(f".building-{home.name}")
    for leftover in (*home.parent.glob(f".building-{spec.name}-*"), home):
        shutil.rmtree(leftover, ignore_errors=True)
    try:
        builder.create(building, Path(record.interpreter))
        builder.sync(building, spec.lock)
        _try_out(spec, building, builder.environ)
        record.write(building)
        os.sync()  # a power cut after the rename must not leave empty modules under a name that says complete
        building.rename(home)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise


def _try_out(spec: EnvironmentSpec, building: Path, environ: Mapping[str, str]) -> None:
    program, *arguments = spec.smoke
    quiet = {"HARBOR_TELEMETRY": "off", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    outcome = run(
        [building / "bin" / program, *arguments],
        env=tool_environ(environ) | quiet,
        timeout_s=SMOKE_TIMEOUT_S,
        cwd=building,
    )
    if not (outcome.ok and spec.locked_version in "\n".join(outcome.tail)):
        raise EnvironmentBuildError(
            f"{spec.distribution} was installed but does not run as version {spec.locked_version}",
            where=" ".join(spec.smoke),
            why=" | ".join(outcome.tail),
            mend="run `make clean-env setup`; if it stays, the lock and this Python do not fit",
        )


@contextmanager
def locked(path: Path, say: Say) -> Iterator[int]:
    """Hold the lock file `path` alone, waiting for whoever holds it; yields its descriptor.

    A child that inherits the descriptor keeps the lock until it ends too. So it is given back by closing it
    and never by LOCK_UN, which would free it under that child.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another set-up is at work here; waiting for it")
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield fd
    finally:
        os.close(fd)


def _refuse_folder(link: Path) -> None:
    if link.is_dir() and not link.is_symlink():
        raise EnvironmentBuildError(
            "a folder stands where the link to an environment goes",
            where=link,
            mend="move it away, then run `make setup`",
        )


def _replace_link(link: Path, home: Path) -> None:
    """Point `link` at `home` in one step, relatively, so that a checkout may be moved.

    `core.atomic` does the same, but needs PyYAML, which is not there before the first environment is.
    """
    target = os.path.relpath(home, link.parent)
    if link.is_symlink() and os.readlink(link) == target:
        return
    link.parent.mkdir(parents=True, exist_ok=True)
    temp = link.with_name(f".{link.name}.{os.getpid()}.tmp")
    with suppress(FileNotFoundError):
        temp.unlink()
    temp.symlink_to(target)
    os.replace(temp, link)
