"""Files in a folder that an agent could write to, placed and read: no link of its making is ever followed."""

import os
import secrets
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_USABLE = os.R_OK | os.W_OK | os.X_OK
_OLD_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def opened_folder(parent: Path, name: str) -> Iterator[int]:
    """Yield a descriptor of the real folder `parent/name`, made if missing.

    What stands in its place and is no folder, a symbolic link above all, is moved aside and not followed. So is a
    folder that we may not write to: an agent can close its own, and a container can leave one of root's.

    Raises:
        OSError: `parent` is missing or is itself a link.
    """
    parent_fd = os.open(parent, _FOLDER)
    try:
        if not (_is(stat.S_ISDIR, parent_fd, name) and os.access(name, _USABLE, dir_fd=parent_fd)):
            _move_aside(parent_fd, name)
            os.mkdir(name, 0o755, dir_fd=parent_fd)
        folder_fd = os.open(name, _FOLDER, dir_fd=parent_fd)
    finally:
        os.close(parent_fd)
    try:
        yield folder_fd
    finally:
        os.close(folder_fd)


@contextmanager
def placed_file(folder_fd: int, name: str) -> Iterator[IO[bytes]]:
    """Yield a file that becomes `name` in the folder, atomically and durably, when the block ends well."""
    temp = f".{name}.{secrets.token_hex(8)}.tmp"
    fd = os.open(temp, _NEW_FILE, 0o644, dir_fd=folder_fd)
    try:
        with os.fdopen(fd, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if not _is(stat.S_ISREG, folder_fd, name):
            _move_aside(folder_fd, name)
        os.replace(temp, name, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temp, dir_fd=folder_fd)
        raise
    os.fsync(folder_fd)


@contextmanager
def opened_file(folder_fd: int, path: Sequence[str]) -> Iterator[IO[bytes]]:
    """Yield the file at `path` below the folder for reading; it may be a pipe or a device, so look before you read.

    Raises:
        OSError: it is not there, may not be read, or there is a link on the way.
    """
    with ExitStack() as held:
        for name in path[:-1]:
            folder_fd = os.open(name, _FOLDER, dir_fd=folder_fd)
            held.callback(os.close, folder_fd)
        with os.fdopen(os.open(path[-1], _OLD_FILE, dir_fd=folder_fd), "rb") as file:
            yield file


def walked(folder_fd: int, path: Sequence[str], *, limit: int) -> list[tuple[str, ...]]:
    """The paths of the first `limit` entries in depth below `path` that are no folders; none where it is not there."""
    found: list[tuple[str, ...]] = []
    with suppress(OSError), ExitStack() as held:
        for name in path:
            folder_fd = os.open(name, _FOLDER, dir_fd=folder_fd)
            held.callback(os.close, folder_fd)
        for base, _, names, _ in os.fwalk(".", dir_fd=folder_fd):
            parts = Path(base).parts
            found += [(*path, *parts, name) for name in sorted(names)]
            if len(found) >= limit:
                break
    return found[:limit]


def remove_file(folder_fd: int, name: str) -> None:
    """Take `name` out of the folder, whatever it is; a folder of that name is moved aside."""
    try:
        os.unlink(name, dir_fd=folder_fd)
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError):
        _move_aside(folder_fd, name)


def _is(kind: Callable[[int], bool], folder_fd: int, name: str) -> bool:
    try:
        mode = os.stat(name, dir_fd=folder_fd, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return False
    return kind(mode)


def _move_aside(folder_fd: int, name: str) -> None:
    with suppress(FileNotFoundError):
        os.rename(name, f"{name}.displaced-{secrets.token_hex(4)}", src_dir_fd=folder_fd, dst_dir_fd=folder_fd)
