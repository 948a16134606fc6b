"""Folders and links of a root: what they take, whether they may go, and how they go."""

import shutil
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from trajgen_assets.core.atomic import fsync_dir
from trajgen_assets.core.faults import reached
from trajgen_assets.core.git import git_says

GOING = ".removing-"  # what a removal that was cut short leaves: no name of anything, and taken by the next


@dataclass(frozen=True)
class Size:
    """Files, links among them, and the bytes that they hold."""

    n_files: int = 0
    size_bytes: int = 0

    def __add__(self, other: "Size") -> "Size":
        return Size(self.n_files + other.n_files, self.size_bytes + other.size_bytes)


def size_of(path: Path) -> Size:
    """Measure a file, a link (which counts as itself) or a folder, without following any link."""
    if path.is_symlink() or not path.is_dir():
        return Size(1, path.lstat().st_size)
    return sum((size_of(each) for each in path.iterdir()), Size())


def why_left(path: Path, root: Path, kept: Collection[Path], *, link_may_lead_out: bool = False) -> str | None:
    """Return why `path`, which we made under `root`, has to stay; None if it may go.

    Args:
        path: a file, folder or link below `root`.
        root: nothing outside of it is touched.
        kept: what people gave, which may lie anywhere.
        link_may_lead_out: it is known that a link of this kind is ours; where it leads is left alone in any case.
    """
    inside = root.resolve()
    if path.is_symlink() and not link_may_lead_out and not path.resolve().is_relative_to(inside):
        return f"it leads out of the root, to {path.readlink()}"
    if not path.parent.resolve().is_relative_to(inside):
        return "it lies outside of the root, behind a link"
    if named := next((each for each in kept if _holds(path, each)), None):
        return f"it holds {named}, which the configuration names"
    return _why_gits(path, inside)


def _why_gits(path: Path, root: Path) -> str | None:
    """A git that cannot answer, as in a repository of another user, may track anything of it."""
    tracked = git_says(root, "ls-files", "--", str(path))
    if tracked is None and any((each / ".git").exists() for each in (root, *root.parents)):
        return f"nobody can tell whether git tracks files of it: `git -C {root} status` says why"
    return "git tracks files of it" if tracked else None


def _holds(path: Path, named: Path) -> bool:
    return not path.is_symlink() and named.resolve().is_relative_to(path.resolve())


def remove(path: Path) -> None:
    """Remove a file, a link or a folder. A folder loses its name first: nobody takes what is left of it for whole."""
    if path.is_symlink() or not path.is_dir():
        path.unlink()
        return
    going = path if path.name.startswith(GOING) else path.rename(path.with_name(f"{GOING}{path.name}"[:255]))
    fsync_dir(going.parent)
    reached("folder_renamed")
    shutil.rmtree(going)


def entries(folder: Path) -> Iterator[Path]:
    """What lies in a folder, by name; nothing where there is none."""
    if folder.is_dir():
        yield from sorted(folder.iterdir())
