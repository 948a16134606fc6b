"""What pins a runtime: a lock of this checkout, or, for another version, one that is resolved once and then kept."""

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from trajgen_assets.core.errors import ConfigError, EnvironmentBuildError
from trajgen_assets.core.provision.command import Outcome, run
from trajgen_assets.core.runtimes.catalogue import Blueprint, NpmBlueprint, PypiBlueprint
from trajgen_assets.core.runtimes.tools import Tools, complaint_of

RESOLVE_TIMEOUT_S = 300.0
LOWEST_PYTHON = "3.12"  # of openhands-sdk
# Of npm or of PyPI; it becomes a part of a folder's name.
VERSION = r"[0-9A-Za-z][0-9A-Za-z.+!-]{0,79}"
NPM_LOCK = "package-lock.json"
NPM_QUIET = ("--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error")


@dataclass(frozen=True)
class Lock:
    """Exact versions and digests of all that a runtime is made of.

    Attributes:
        path: for npm a `package-lock.json`, for PyPI requirements with hashes.
        version: the version of the scaffold that it pins.
    """

    path: Path
    version: str


def lock_for(blueprint: NpmBlueprint | PypiBlueprint, version: str | None, kept: Path, tools: Tools) -> Lock:
    """The lock for `version`; for None the checkout's. One that the checkout lacks is made in `kept`, or found there.

    Raises:
        ConfigError: `version` can be none.
        EnvironmentBuildError: the registry has no such version, or does not answer.
        RequirementError: npm is needed and not there.
    """
    own = tools.project / "locks" / lock_name(blueprint)
    pinned = pinned_version(blueprint, own)
    if pinned is not None and version in (None, pinned):
        return Lock(own, pinned)
    if version is None:
        mend = f"name one: trajgen build-runtime {blueprint.scaffold} --version …"
        raise EnvironmentBuildError("no version is pinned for this kind of machine", where=own, mend=mend)
    if not re.fullmatch(VERSION, version):
        what = f"this is no version of {blueprint.scaffold}: {version[:80]!r}"
        raise ConfigError(what, mend="write one such as 1.2.3")
    folder = kept / f"{blueprint.scaffold}-{version}"
    path = folder / own.name
    if pinned_version(blueprint, path) != version:
        tools.say(f"resolving {blueprint.scaffold} {version}, which no lock of this checkout pins")
        _make_lock(blueprint, version, own, path, tools)
    return Lock(path, version)


def lock_name(blueprint: Blueprint) -> str:
    """The lock of `blueprint`, below `locks/`."""
    return f"{blueprint.scaffold}/{NPM_LOCK}" if isinstance(blueprint, NpmBlueprint) else f"{blueprint.scaffold}.txt"


def pinned_version(blueprint: NpmBlueprint | PypiBlueprint, path: Path) -> str | None:
    """The version of the scaffold that the lock at `path` pins; None if it pins none, or is not there."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    if isinstance(blueprint, PypiBlueprint):
        match = re.search(rf"^{re.escape(blueprint.distribution)}==(\S+)", text, re.MULTILINE)
        return match[1] if match else None
    entry = json.loads(text)["packages"].get(f"node_modules/{blueprint.distribution}", {})
    return str(entry["version"]) if "integrity" in entry else None


def package_json(distribution: str, version: str) -> str:
    """What npm is asked to install: one package in one version. Not as an optional one: npm leaves those out silently
    when their digest is not the locked one."""
    return json.dumps({"private": True, "dependencies": {distribution: version}}, indent=2) + "\n"


def _make_lock(blueprint: NpmBlueprint | PypiBlueprint, version: str, own: Path, path: Path, tools: Tools) -> None:
    making = path.parent.with_name(f".making-{path.parent.name}")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    try:
        if isinstance(blueprint, NpmBlueprint):
            outcome = _resolve_npm(blueprint, version, making / path.name, tools)
        else:
            outcome = _resolve_pypi(blueprint, version, own, making / path.name, tools)
        if not outcome.ok or pinned_version(blueprint, making / path.name) != version:
            raise EnvironmentBuildError(
                f"{blueprint.scaffold} {version} cannot be resolved",
                where=blueprint.distribution,
                why=complaint_of(outcome),
                mend="name a version that the package registry has, or check the network",
            )
        shutil.rmtree(path.parent, ignore_errors=True)
        making.rename(path.parent)
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _resolve_npm(blueprint: NpmBlueprint, version: str, path: Path, tools: Tools) -> Outcome:
    path.with_name("package.json").write_text(package_json(blueprint.distribution, version), encoding="utf-8")
    argv: list[str | Path] = [
        tools.npm,
        "install",
        "--package-lock-only",
        "--omit-lockfile-registry-resolved",
        *NPM_QUIET,
    ]
    return run(argv, env=tools.npm_environ, timeout_s=RESOLVE_TIMEOUT_S, cwd=path.parent)


def _resolve_pypi(blueprint: PypiBlueprint, version: str, own: Path, path: Path, tools: Tools) -> Outcome:
    """As `scripts/lock` does, with what the checkout pins taken over where it fits."""
    if own.exists():
        shutil.copyfile(own, path)
    wanted = path.with_suffix(".in")
    wanted.write_text(_with_version(blueprint, version, own.with_suffix(".in")), encoding="utf-8")
    options = ["--quiet", "--universal", "--generate-hashes", "--no-header", "--python-version", LOWEST_PYTHON]
    excludes = own.with_suffix(".excludes.txt")
    left_out: list[str | Path] = ["--excludes", excludes] if excludes.exists() else []
    argv: list[str | Path] = [tools.uv, "pip", "compile", *options, *left_out, "--output-file", path, wanted]
    return run(argv, env=tools.environ, timeout_s=RESOLVE_TIMEOUT_S)


def _with_version(blueprint: PypiBlueprint, version: str, source: Path) -> str:
    """The requirements in `source`, with `version` for the scaffold's own packages."""
    named = "|".join(map(re.escape, (blueprint.distribution, *blueprint.siblings)))
    text = source.read_text(encoding="utf-8") if source.exists() else ""
    rest = [line for line in text.splitlines() if not re.match(rf"({named})==", line)]
    own = [f"{name}=={version}" for name in (blueprint.distribution, *blueprint.siblings)]
    return "\n".join([*own, *rest]) + "\n"
