"""Sources that an environment's main package is built from, where it is not what the lock pins."""

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
    """

    commit: str
    export: Callable[[Path], None]


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
