"""uv environments from hash-pinned locks: each is complete under its name in the store, or not there at all."""

import errno
import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from trajgen_assets.core.clock import stamp
from trajgen_assets.core.errors import EnvironmentBuildError, RequirementError
from trajgen_assets.core.provision.builder import Builder
from trajgen_assets.core.provision.command import Say, run, tool_environ
from trajgen_assets.core.provision.python import Interpreter, probe
from trajgen_assets.core.provision.record import Record, inputs_digest, is_current
from trajgen_assets.core.provision.source import Source, check_backend, place_source
from trajgen_assets.core.provision.uv import require_uv

UNWRITABLE = frozenset({errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR})
SMOKE_TIMEOUT_S = 120.0  # `harbor --version` takes 1 s; on a busy machine with a cold disk far longer


@dataclass(frozen=True)
class EnvironmentSpec:
    """What an environment is made of.

    Args:
        name: the name of its link in the environments folder.
        python: the interpreter that it is made for.
        lock: fully pinned requirements with hashes.
        distribution: the package of the lock that it is for.
        source: what `distribution` is built from, in place of the version that the lock pins.
        smoke: a program of the environment and its arguments, which print the version of `distribution`, or fail.
        has_sources: whether the lock may hold packages that have no wheel.
    """

    name: str
    python: Path
    lock: Path
    distribution: str
    smoke: tuple[str, ...]
    source: Source | None = None
    has_sources: bool = False

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
    """An environment that is complete.

    Attributes:
        path: its folder in the store, and not the link to it: an environment that is renewed while a job runs must not
            change under the job.
        built: whether this call made it.
    """

    name: str
    path: Path
    record: Record
    built: bool = False

    @property
    def python(self) -> Path:
        return self.path / "bin" / "python"

    @property
    def n_packages(self) -> int:
        return sum(1 for _ in self.path.glob("lib/python*/site-packages/*.dist-info"))

    @property
    def size_bytes(self) -> int:
        """What its files hold together. It looks at each of some 30,000."""
        return sum(path.lstat().st_size for path in self.path.rglob("*"))


def standing_environment(env_dir: Path, name: str) -> Environment | None:
    """The environment `name` as it stands; None if there is none that is complete and has its interpreter."""
    home = (env_dir / name).resolve()
    record = Record.read(home)
    return Environment(name, home, record) if record is not None and is_current(home, record.inputs) else None


def ensure_environment(
    spec: EnvironmentSpec,
    store: Path,
    link: Path,
    on_line: Say,
    *,
    uv: Path | None = None,
    environ: Mapping[str, str] | None = None,
    rebuild: bool = False,
) -> Environment:
    """Make the environment of `spec` in `store` unless it is there, and point `link` at it.

    Built in a hidden folder, tried, then renamed: a folder under its final name is complete. Two builders at
    once build once. Whatever stops it, an earlier environment and its link stay as they were.

    Args:
        rebuild: make it anew though it is there. The one that is there is put away when the new one is complete.

    Raises:
        EnvironmentBuildError: uv failed, or what it built does not run.
        RequirementError: the interpreter does not run, there is no uv, or nothing can be written in `store`.
    """
    environ = os.environ if environ is None else environ
    interpreter = _interpreter(spec, environ)
    commit = spec.source.commit if spec.source else None
    inputs = inputs_digest(spec.lock, place=commit or "")
    record = Record(spec.name, str(interpreter.path), interpreter.version_text, inputs, built_at=stamp(), source=commit)
    home = store / f"{spec.name}-{record.digest}"
    _refuse_folder(link)
    with locked(store / f".{spec.name}.lock", on_line) as lock_fd:
        built = rebuild or not is_current(home, record.inputs)
        if built:
            _build(spec, record, home, Builder(uv or require_uv(environ), environ, on_line, lock_fd))
        point_link(link, home)
    return Environment(spec.name, home, Record.read(home) or record, built)


def _interpreter(spec: EnvironmentSpec, environ: Mapping[str, str]) -> Interpreter:
    if (interpreter := probe(spec.python, environ)) is not None:
        return interpreter
    raise RequirementError(f"the Python for {spec.name} does not run", where=spec.python, mend="run `make setup` again")


def _build(spec: EnvironmentSpec, record: Record, home: Path, builder: Builder) -> None:
    building, started_at = home.with_name(f".building-{home.name}"), time.monotonic()
    for leftover in home.parent.glob(f".building-{spec.name}-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    try:
        builder.create(building, Path(record.interpreter))
        (builder.sync_with_sources if spec.has_sources else builder.sync)(building, spec.lock)
        if spec.source is not None:
            _install_source(spec.source, building, builder)
        _try_out(spec, building, builder.environ)
        replace(record, build_s=round(time.monotonic() - started_at, 1)).write(building)
        os.sync()  # a power cut after the rename must not leave empty modules under a name that says complete
        put_in_place(building, home)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise


def _install_source(source: Source, building: Path, builder: Builder) -> None:
    project = building / "source"
    project.mkdir()
    source.export(project)
    if not source.is_built:
        place_source(project, building)
        return
    check_backend(project)
    builder.install_built(building, project)
    shutil.rmtree(project)


def put_in_place(building: Path, home: Path) -> None:
    """Give the finished folder its final name. Whoever is killed between the two renames leaves nothing that passes for
    complete, and the next call builds."""
    earlier = building.with_name(f"{building.name}.earlier")
    with suppress(FileNotFoundError):
        home.rename(earlier)
    building.rename(home)
    shutil.rmtree(earlier, ignore_errors=True)


def _try_out(spec: EnvironmentSpec, building: Path, environ: Mapping[str, str]) -> None:
    program, *arguments = spec.smoke
    version = _version_of(spec, building)
    quiet = {"HARBOR_TELEMETRY": "off", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    outcome = run(
        [building / "bin" / program, *arguments],
        env=tool_environ(environ) | quiet,
        timeout_s=SMOKE_TIMEOUT_S,
        cwd=building,
    )
    if not (outcome.ok and version in "\n".join(outcome.tail)):
        raise EnvironmentBuildError(
            f"{spec.distribution} was installed but does not run as version {version}".removesuffix(" as version "),
            where=" ".join(spec.smoke),
            why=" | ".join(outcome.tail),
            mend="run `make clean-env setup`; if it stays, the lock and this Python do not fit",
        )


def _version_of(spec: EnvironmentSpec, building: Path) -> str:
    """The version that is to run there; empty where the sources themselves run, which need not have one."""
    if spec.source is None:
        return spec.locked_version
    return _version_in(building, spec.distribution) if spec.source.is_built else ""


def _version_in(environment: Path, distribution: str) -> str:
    """The version of `distribution` that is installed there."""
    found = next(environment.glob(f"lib/python*/site-packages/{distribution}-*.dist-info"), None)
    if found is None:
        raise EnvironmentBuildError(
            f"the pinned sources are not those of {distribution}", mend="correct the entry in meta_info.repositories"
        )
    return found.name.removeprefix(f"{distribution}-").removesuffix(".dist-info")


@contextmanager
def locked(path: Path, say: Say) -> Iterator[int]:
    """Hold the lock file `path` alone, waiting for whoever holds it; yields its descriptor.

    A child that inherits the descriptor keeps the lock until it ends too. So it is given back by closing it
    and never by LOCK_UN, which would free it under that child.

    Raises:
        RequirementError: nothing can be written there.
    """
    fd = _open_lock(path)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another set-up is at work here; waiting for it")
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield fd
    finally:
        os.close(fd)


def _open_lock(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        raise RequirementError(
            "environments cannot be built here",
            where=path.parent,
            why=error.strerror,
            mend="name a place that can be written: export TRAJGEN_ENV_DIR=…",
        ) from error


def _refuse_folder(link: Path) -> None:
    if link.is_dir() and not link.is_symlink():
        raise EnvironmentBuildError(
            "a folder stands where the link to an environment goes",
            where=link,
            mend="move it away, then run `make setup`",
        )


def point_link(link: Path, home: Path) -> None:
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
