"""Sources that an environment's main package is built from, where it is not what the lock pins."""

import os
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from trajgen_assets.core.errors import EnvironmentBuildError

BACKEND = "uv_build"


@dataclass(frozen=True)
class Source:
    """One commit of a repository.

    Attributes:
        export: writes the files of the commit into an empty folder: nothing is ever built in a checkout.
        is_built: whether it is built and installed; else its files lie in the environment, and are imported from there.
    """

    commit: str
    export: Callable[[Path], None]
    is_built: bool = True


def check_backend(project: Path) -> None:
    """Raise EnvironmentBuildError unless uv alone builds `project`: another builder would have to be downloaded."""
    try:
        told = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EnvironmentBuildError("the pinned sources have no pyproject.toml that can be read", why=error) from error
    backend = told.get("build-system", {}).get("build-backend", "setuptools")
    if backend != BACKEND:
        raise EnvironmentBuildError(
            "the pinned sources cannot be built here",
            why=f"they are built by {backend}, which no lock pins; {BACKEND} is part of uv",
            mend="pin a commit that is built by uv_build, or leave `build` out",
        )


def place_source(project: Path, environment: Path) -> None:
    """Let the Python of `environment` import what lies in `project`, a folder of it. The environment may be moved."""
    roots = [folder for folder in (project / "src", project) if folder.is_dir()]
    for packages in environment.glob("lib/python*/site-packages"):
        lines = [f"{os.path.relpath(root, packages)}\n" for root in roots]
        (packages / "pinned_sources.pth").write_text("".join(lines), encoding="utf-8")
