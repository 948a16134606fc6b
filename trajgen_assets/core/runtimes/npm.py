"""A runtime from npm: one native executable, fetched by npm against a lock and taken out of its package."""

import json
import shutil
from pathlib import Path

from trajgen_assets.core.errors import EnvironmentBuildError
from trajgen_assets.core.provision.builder import BUILD_TIMEOUT_S
from trajgen_assets.core.provision.command import run
from trajgen_assets.core.runtimes.catalogue import NpmBlueprint
from trajgen_assets.core.runtimes.libraries import needed_glibc
from trajgen_assets.core.runtimes.locks import NPM_LOCK, NPM_QUIET, Lock, package_json
from trajgen_assets.core.runtimes.manifest import Package
from trajgen_assets.core.runtimes.tools import Tools, complaint_of

PACKAGE = "package"


def build_from_npm(blueprint: NpmBlueprint, lock: Lock, home: Path, tools: Tools, lock_fd: int) -> dict[str, Package]:
    """Fill the empty folder `home`. No script of any package is run. Returns what was installed.

    Raises:
        EnvironmentBuildError: npm failed; a digest that is not the locked one is among the reasons.
        RequirementError: there is no npm.
    """
    fetching = home / "npm"
    fetching.mkdir()
    shutil.copyfile(lock.path, fetching / NPM_LOCK)
    (fetching / "package.json").write_text(package_json(blueprint.distribution, lock.version), encoding="utf-8")
    argv: list[str | Path] = [tools.npm, "ci", *NPM_QUIET]
    outcome = run(
        argv, env=tools.npm_environ, timeout_s=BUILD_TIMEOUT_S, on_line=tools.say, cwd=fetching, pass_fds=(lock_fd,)
    )
    if not outcome.ok:
        why, mend = complaint_of(outcome), "check the registry that npm is configured for, then run it again"
        raise EnvironmentBuildError(f"npm could not install {blueprint.scaffold}", where=home, why=why, mend=mend)
    (fetching / "node_modules" / blueprint.distribution).rename(home / PACKAGE)
    shutil.rmtree(fetching)
    (home / "bin").mkdir()
    program = home / "bin" / blueprint.programs[0]
    program.symlink_to(Path("..", PACKAGE, blueprint.executable))
    program.chmod(0o755)
    entry = json.loads(lock.path.read_bytes())["packages"][f"node_modules/{blueprint.distribution}"]
    return {blueprint.distribution: Package(version=entry["version"], digest=entry["integrity"])}


def needs_of_npm(home: Path, blueprint: NpmBlueprint, tools: Tools) -> str:
    """What an image has to have for the executable in `home`."""
    return f"glibc {needed_glibc(home / PACKAGE / blueprint.executable, tools.source_environ)} or newer in the image"
