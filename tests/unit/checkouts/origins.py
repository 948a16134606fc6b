"""Real repositories of git to be pinned, and what a folder is like down to its modes."""

import os
import subprocess
from pathlib import Path

from trajgen_assets.core.checkouts.pin import Pin

IDENTITY = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "protocol.file.allow=always")


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", folder, *IDENTITY, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


class Origin:
    """A bare repository, and the work tree that it is written from."""

    def __init__(self, folder: Path, name: str = "harbor") -> None:
        self.bare = folder / "origins" / f"{name}.git"
        self.work = folder / "work" / name
        self.bare.mkdir(parents=True)
        self.work.mkdir(parents=True)
        git(self.bare, "init", "--quiet", "--bare", "--initial-branch=main")
        git(self.work, "init", "--quiet", "--initial-branch=main")
        git(self.work, "remote", "add", "origin", str(self.bare))
        self.commits = [self.commit("one")]

    def commit(self, content: str, *, path: str = "a.txt", message: str = "change") -> str:
        place = self.work / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content)
        git(self.work, "add", "--all")
        git(self.work, "commit", "--quiet", "-m", message)
        git(self.work, "push", "--quiet", "--tags", "origin", "HEAD:main")
        return git(self.work, "rev-parse", "HEAD")

    def pin(self, folder: Path, **more: object) -> Pin:
        chosen: dict[str, object] = {"name": "harbor", "url": str(self.bare), "folder": folder, "ref": "main"}
        return Pin(**(chosen | more))  # type: ignore[arg-type]


def anatomy(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Mode and content of all that lies under `folder`, in `.git` too."""
    found = {}
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(parent, name)
            content = os.readlink(path).encode() if path.is_symlink() else path.read_bytes() if path.is_file() else b""
            found[str(path.relative_to(folder))] = (path.lstat().st_mode, content)
    return found
