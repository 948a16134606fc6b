"""What was downloaded, looked over: files and folders only, within limits, and where in it the tasks lie."""

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trajgen_assets.core.errors import DownloadError
from trajgen_assets.core.intake.remote.names import Inventory
from trajgen_assets.core.intake.remote.remote import Limits, Remote
from trajgen_assets.core.intake.source import MANIFEST_NAME
from trajgen_assets.core.intake.task import inspect_task
from trajgen_assets.core.keys import is_safe_name

_N_NAMED = 5


@dataclass(frozen=True)
class Tree:
    """What a folder holds. `sha256` covers each file's path and content, in the order of the paths."""

    n_files: int
    size_bytes: int
    sha256: str


def look_over(folder: Path, limits: Limits) -> Tree:
    """Read all of `folder`.

    Raises:
        DownloadError: it holds a link or a device, names that are one on some disk, or more than `limits`.
    """
    inventory, digest = Inventory(limits), hashlib.sha256()
    for path in sorted(_files(folder)):
        name = path.relative_to(folder).as_posix()
        status = path.lstat()
        plain = None if stat.S_ISREG(status.st_mode) else "is a link, a device or a pipe"
        if problem := plain or inventory.take_file(name, status.st_size):
            mend = "ask whoever made it for plain files and folders"
            raise DownloadError(
                "the download is refused", where=folder.name, why=f"{name[:300]!r} {problem}", mend=mend
            )
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{content}  {name}\n".encode("utf-8", "surrogateescape"))
    return Tree(inventory.n_files, inventory.size_bytes, digest.hexdigest())


def _files(folder: Path) -> Iterator[Path]:
    """Everything below that is no folder; a link to a folder is none."""
    waiting = [folder]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
                else:
                    yield Path(entry.path)


def complete_tasks(folder: Path) -> list[str]:
    """Ids of the task folders in `folder` that can be used, sorted."""
    return sorted(each.name for each in _folders(folder) if is_safe_name(each.name) and inspect_task(each).is_usable)


def manifests_in(folder: Path) -> list[str]:
    """The manifests of `folder` and of the data sets in it, as paths from it."""
    found = [*folder.glob(MANIFEST_NAME), *folder.glob(f"*/{MANIFEST_NAME}")]
    return [each.relative_to(folder).as_posix() for each in sorted(found)]


def root_of(remote: Remote, tree: Path) -> Path:
    """The folder of `tree` that holds the task folders, or a folder with a manifest for each data set.

    Raises:
        DownloadError: there is none, or several.
    """
    top = tree / (remote.subfolder or "")
    if not top.is_dir():
        mend = "name a folder of it as download.subfolder, or leave that out"
        raise DownloadError("download.subfolder is not in it", where=remote.words, why=remote.subfolder, mend=mend)
    while not _holds_tasks(top):
        holding = [each for each in _folders(top) if _has_below(each)]
        if len(holding) != 1:
            raise _not_one(remote, tree, holding)
        (top,) = holding
    return top


def _holds_tasks(folder: Path) -> bool:
    """Whether task folders lie in it, or several data sets: a single folder around all is how archives are packed."""
    is_listed = (folder / MANIFEST_NAME).is_file() or len(manifests_in(folder)) > 1
    return is_listed or any(_looks_like_task(each) for each in _folders(folder))


def _has_below(folder: Path) -> bool:
    return _holds_tasks(folder) or any(_has_below(each) for each in _folders(folder))


def _looks_like_task(folder: Path) -> bool:
    return (folder / "task.toml").is_file()


def _folders(folder: Path) -> list[Path]:
    return sorted(each for each in folder.iterdir() if each.is_dir() and not each.name.startswith("."))


def _not_one(remote: Remote, tree: Path, holding: list[Path]) -> DownloadError:
    if not holding:
        mend = "check the name, download.allow_patterns and download.archive: a task is a folder with task.toml"
        return DownloadError("no Harbor task is in what was downloaded", where=remote.words, mend=mend)
    names = ", ".join(str(each.relative_to(tree)) for each in holding[:_N_NAMED])
    mend = "name one with download.subfolder, and the others as sources of their own"
    return DownloadError("tasks lie in several folders", where=remote.words, why=names, mend=mend)
