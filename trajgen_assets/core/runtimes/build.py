"""Building a runtime: under its name in the store it is whole, or it is not there at all."""

import hashlib
import json
import os
import platform
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trajgen_assets.core.clock import stamp
from trajgen_assets.core.config.scaffolds import EARLIER_NAMES, SUPPORTED_SCAFFOLDS
from trajgen_assets.core.errors import EnvironmentBuildError, RefusedError, UnknownNameError
from trajgen_assets.core.provision.command import run
from trajgen_assets.core.provision.environments import locked, point_link, put_in_place
from trajgen_assets.core.runtimes.catalogue import BLUEPRINTS, NpmBlueprint, PypiBlueprint
from trajgen_assets.core.runtimes.libraries import host_glibc
from trajgen_assets.core.runtimes.locks import Lock, lock_for
from trajgen_assets.core.runtimes.manifest import MANIFEST, Package, RuntimeManifest
from trajgen_assets.core.runtimes.npm import build_from_npm, needs_of_npm
from trajgen_assets.core.runtimes.pypi import build_from_pypi, needs_of_pypi
from trajgen_assets.core.runtimes.tools import Tools
from trajgen_assets.core.runtimes.tree import measure, open_to_all

# Raised when other files are made of the same packages.
BUILDER = 1
TRY_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Runtime:
    """A runtime that is whole.

    Attributes:
        path: its folder in the store, and not the link to it: a job keeps what it began with.
        built: whether this call made it.
    """

    path: Path
    manifest: RuntimeManifest
    built: bool = False


def blueprint_of(scaffold: str) -> NpmBlueprint | PypiBlueprint:
    """What the runtime of `scaffold` is made of, under either of its names.

    Raises:
        RefusedError: it needs none, because it runs on the host.
        UnknownNameError: there is no such scaffold.
    """
    agent = EARLIER_NAMES.get(scaffold, scaffold)
    if (blueprint := BLUEPRINTS.get(agent)) is not None:
        return blueprint
    mend = f"name one of {', '.join(BLUEPRINTS)}"
    if agent in SUPPORTED_SCAFFOLDS:
        raise RefusedError(f"there is no runtime of {agent!r}", why="it runs on the host", mend=mend)
    raise UnknownNameError(f"there is no scaffold {scaffold[:80]!r}", mend=mend)


def build_runtime(
    blueprint: NpmBlueprint | PypiBlueprint, tools: Tools, *, version: str | None = None, rebuild: bool = False
) -> Runtime:
    """Build the runtime of `blueprint` unless it stands, and point its link at it.

    Args:
        version: another one than the checkout pins; it is resolved once, and its lock is kept.
        rebuild: build it though it stands; that one is put away when the new one is whole.

    Raises:
        EnvironmentBuildError: it could not be built. What stood before stands.
        RequirementError: the host lacks npm, a Python, or a place to build in.
    """
    store = tools.env_dir / "store"
    with locked(store / f".runtime-{blueprint.scaffold}.lock", tools.say) as lock_fd:
        lock = lock_for(blueprint, version, tools.env_dir / "runtime-locks", tools)
        digest = _inputs_digest(blueprint, lock, tools)
        home = store / f"{store_prefix(blueprint.scaffold)}{digest}"
        manifest = None if rebuild else RuntimeManifest.read(home)
        built = manifest is None
        if manifest is None:
            manifest = _build(blueprint, lock, home, tools, lock_fd)
        point_link(link_of(tools.env_dir, blueprint.scaffold), home)
    return Runtime(home, manifest, built)


def standing_runtimes(env_dir: Path, scaffold: str) -> Iterator[Runtime]:
    """The runtimes of `scaffold` that are whole: first the one that was built or chosen last, then the newest."""
    chosen = link_of(env_dir, scaffold).resolve()
    homes = (env_dir / "store").glob(f"{store_prefix(scaffold)}*")
    found = [(home, manifest) for home in homes if (manifest := RuntimeManifest.read(home)) is not None]
    found.sort(key=lambda each: (each[0].resolve() == chosen, each[1].built_at), reverse=True)
    return (Runtime(home.resolve(), manifest) for home, manifest in found if manifest.scaffold == scaffold)


def store_prefix(scaffold: str) -> str:
    """How the names of the runtimes of `scaffold` begin in the store."""
    return f"runtime-{scaffold}-"


def link_of(env_dir: Path, scaffold: str) -> Path:
    """The link to the runtime of `scaffold` that was built last."""
    return env_dir / "runtimes" / scaffold


def _inputs_digest(blueprint: NpmBlueprint | PypiBlueprint, lock: Lock, tools: Tools) -> str:
    """What the runtime is made of: the lock, the kind of machine, and whatever is taken along from this host."""
    machine = [platform.system(), platform.machine()]
    taken = [str(tools.python.path), tools.python.version_text, *host_glibc()] if _is_python(blueprint) else []
    identity = json.dumps([BUILDER, blueprint.scaffold, _sha256(lock.path), machine, taken])
    return hashlib.sha256(identity.encode()).hexdigest()[:16]


def _is_python(blueprint: NpmBlueprint | PypiBlueprint) -> bool:
    return isinstance(blueprint, PypiBlueprint)


def _build(
    blueprint: NpmBlueprint | PypiBlueprint, lock: Lock, home: Path, tools: Tools, lock_fd: int
) -> RuntimeManifest:
    building, started_at = home.with_name(f".building-{home.name}"), time.monotonic()
    for leftover in home.parent.glob(f".building-{store_prefix(blueprint.scaffold)}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    building.mkdir()
    try:
        tools.say(f"building {blueprint.scaffold} {lock.version}")
        packages, needs = _fill(blueprint, lock, building, tools, lock_fd)
        open_to_all(building)
        _try_out(blueprint, lock, building, tools)
        manifest = _manifest(blueprint, lock, home, building, packages, needs, time.monotonic() - started_at)
        manifest.write(building)
        os.sync()  # a power cut after the rename must not leave empty files under a name that says whole
        put_in_place(building, home)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    return manifest


def _fill(
    blueprint: NpmBlueprint | PypiBlueprint, lock: Lock, building: Path, tools: Tools, lock_fd: int
) -> tuple[dict[str, Package], str]:
    if isinstance(blueprint, NpmBlueprint):
        packages = build_from_npm(blueprint, lock, building, tools, lock_fd)
        return packages, f"{needs_of_npm(building, blueprint, tools)}, {platform.machine()}"
    packages = build_from_pypi(blueprint, lock, building, tools, lock_fd)
    return packages, f"{needs_of_pypi()}, {platform.machine()}"


def _manifest(
    blueprint: NpmBlueprint | PypiBlueprint,
    lock: Lock,
    home: Path,
    building: Path,
    packages: dict[str, Package],
    needs: str,
    took_s: float,
) -> RuntimeManifest:
    tree = measure(building, without=MANIFEST)
    return RuntimeManifest(
        scaffold=blueprint.scaffold,
        version=lock.version,
        digest=home.name.removeprefix(store_prefix(blueprint.scaffold)),
        programs=blueprint.programs,
        needs=needs,
        lock_sha256=_sha256(lock.path),
        packages=packages,
        tree_sha256=tree.content,
        listing_sha256=tree.listing,
        n_files=tree.n_files,
        size_bytes=tree.size_bytes,
        built_at=stamp(),
        build_s=round(took_s, 1),
    )


def _try_out(blueprint: NpmBlueprint | PypiBlueprint, lock: Lock, building: Path, tools: Tools) -> None:
    """See that it tells its version here, which has all that it needs."""
    program, *arguments = blueprint.version_argv
    outcome = run([building / "bin" / program, *arguments], env=tools.environ, timeout_s=TRY_TIMEOUT_S, cwd=building)
    if not (outcome.ok and lock.version in "\n".join(outcome.tail)):
        raise EnvironmentBuildError(
            f"{blueprint.scaffold} was installed but does not run as version {lock.version}",
            where=program,
            why=" | ".join(outcome.tail) or outcome.reason,
            mend="see whether this host's processor and C library are what the packages are made for",
        )


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
