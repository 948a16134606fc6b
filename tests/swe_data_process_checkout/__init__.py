"""A stand-in of swe_data_process: its sources, a real repository of git with them, an environment without packages."""

import shutil
import sys
from pathlib import Path

from tests.unit.checkouts.origins import Origin, git
from trajgen_assets.core.provision.environments import Environment
from trajgen_assets.core.provision.record import Record
from trajgen_assets.core.provision.source import place_source

TREE = Path(__file__).with_name("tree")
COMMIT = "c" * 40


def origin(folder: Path) -> Origin:
    """A bare repository that has the stand-in; `commits` ends with its commit."""
    made = Origin(folder, "swe_data_process")
    shutil.copytree(TREE, made.work, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    made.commits.append(made.commit("One.\n", path="README.md"))
    return made


def pins(made: Origin) -> dict[str, dict[str, object]]:
    """The entry of `meta_info.repositories` for it."""
    head = git(made.work, "rev-parse", "HEAD")
    return {"swe_data_process": {"url": str(made.bare), "commit": head}}


def environment(folder: Path) -> Environment:
    """An environment whose Python is that of the tests, and imports the stand-in: what it converts needs no package."""
    home = folder / "converter-env"
    packages = home / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    packages.mkdir(parents=True)
    (home / "bin").mkdir()
    (home / "bin" / "python").symlink_to(Path(sys.executable).resolve())
    (home / "pyvenv.cfg").write_text(f"home = {Path(sys.executable).resolve().parent}\n")
    shutil.copytree(TREE, home / "source", ignore=shutil.ignore_patterns("__pycache__"))
    place_source(home / "source", home)
    return Environment("swe-data-process-uv", home, Record("swe-data-process-uv", sys.executable, "3", "", ""))


def trouble(made: Environment, word: str) -> None:
    """Make the converter of an environment go wrong."""
    (made.path / "source" / "swe_data_process" / "trouble.txt").write_text(word)
