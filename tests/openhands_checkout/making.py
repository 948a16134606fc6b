"""The stand-in made real: a repository at a commit, an environment that runs it, and rows to roll out."""

import json
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from shutil import copytree
from typing import Any

from tests.installed import HARBOR_ENV

HOME = Path(__file__).parent
TREE, SITE, SCRIPTS = HOME / "tree", HOME / "site", HOME / "scripts"
ISSUE = "The greeting is in German"


@dataclass(frozen=True)
class StandIn:
    """A repository that one pins, and the interpreter of an environment beside it."""

    url: str
    commit: str
    python: Path

    @property
    def repository(self) -> dict[str, str]:
        """As an entry of `meta_info.repositories`."""
        return {"url": self.url, "commit": self.commit}


def make_stand_in(folder: Path) -> StandIn:
    """Make both under `folder`."""
    repository = make_repository(folder / "openhands")
    return StandIn(str(repository), head_of(repository), make_environment(folder / "openhands-env"))


def make_repository(folder: Path) -> Path:
    """A git repository with the tree of the stand-in in one commit."""
    copytree(TREE, folder, ignore=lambda _, names: [name for name in names if name == "__pycache__"])
    _git(folder, "init", "--quiet", "--initial-branch", "main")
    commit_all(folder)
    return folder


def commit_all(folder: Path) -> str:
    """Commit what changed there, if anything; returns the commit."""
    _git(folder, "add", "--all")
    if _git(folder, "status", "--porcelain"):
        _git(folder, "-c", "user.name=t", "-c", "user.email=t@host.test", "commit", "--quiet", "--message", "changed")
    return head_of(folder)


def head_of(folder: Path) -> str:
    return _git(folder, "rev-parse", "HEAD").strip()


def make_environment(folder: Path) -> Path:
    """An environment of Harbor's Python that has what the stand-in needs; returns its interpreter."""
    python = HARBOR_ENV / "bin" / "python"
    subprocess.run([python.resolve(), "-m", "venv", "--without-pip", folder], check=True, timeout=60)
    (site,) = folder.glob("lib/python3.*/site-packages")
    (site / "stand_in.pth").write_text(f"{SITE}\n", encoding="utf-8")
    return folder / "bin" / "python"


def row(instance_id: str = "acme__greeter-1", **stand_in: Any) -> dict[str, Any]:
    """A row that run_infer takes, of a task that `SCRIPTS` solves; `stand_in` asks for what goes wrong."""
    repository = instance_id.rpartition("-")[0].replace("__", "/", 1)
    return {
        "instance_id": instance_id,
        "repo": repository,
        "version": "0.1",
        "base_commit": "b" * 40,
        "problem_statement": f"{ISSUE}\nIt should be English.",
        "FAIL_TO_PASS": [],
        "PASS_TO_PASS": [],
        **({"stand_in": stand_in} if stand_in else {}),
    }


def msb_row(row: dict[str, Any]) -> dict[str, Any]:
    """The row of the Multi-SWE-bench data set that `row` was made of."""
    name, _, number = row["instance_id"].rpartition("-")
    org, _, repo = name.partition("__")
    plain = {"org": org, "repo": repo, "number": int(number), "fix_patch": "", "test_patch": ""}
    return plain | {"stand_in": row.get("stand_in") or {}}


def write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(each)}\n" for each in rows), encoding="utf-8")
    return path


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout
