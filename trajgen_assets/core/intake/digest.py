"""The digest of a task folder: equal for equal content, whatever the machine, owner or time.

Standard library only and without an import of this project, because the file is also copied alone into the
environment of the harness, where the same digest is taken again right before a trial.

Every entry counts: nothing is ignored, not even `__pycache__`, since whatever lies in the folder reaches the
container. What counts of an entry: its path, its kind, for a file the owner's execute bit and the content, for a
link its target. Owner, times and all other mode bits do not count.
"""

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

_CHUNK_SIZE_BYTES = 1 << 20
_VERSION = b"task-digest-1\n"


class UnusableTreeError(ValueError):
    """The folder holds something that is neither file, folder nor link, or changed while it was read."""


def task_digest(folder: Path) -> str:
    """Return the sha256 (64 hex digits) of everything in `folder`.

    `folder` itself may be a link to a folder; links inside are taken as links and never followed. Memory does
    not depend on the size of the files.

    Raises:
        OSError: something is missing or cannot be read.
        UnusableTreeError: there is a device, pipe or socket.
    """
    total = hashlib.sha256(_VERSION)
    root = os.fsencode(folder)
    for path in sorted(_paths_under(root)):
        for part in _describe(root + b"/" + path):
            total.update(b"%d:" % len(path) + path + b"%d:" % len(part) + part)
    return total.hexdigest()


def _paths_under(root: bytes) -> Iterator[bytes]:
    waiting = [b""]
    while waiting:
        folder = waiting.pop()
        with os.scandir(root + b"/" + folder) as entries:
            for entry in entries:
                yield folder + entry.name
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(folder + entry.name + b"/")


def _describe(path: bytes) -> tuple[bytes, ...]:
    mode = os.lstat(path).st_mode
    if stat.S_ISDIR(mode):
        return (b"folder",)
    if stat.S_ISLNK(mode):
        return b"link", os.readlink(path)
    if stat.S_ISREG(mode):
        return b"program" if mode & stat.S_IXUSR else b"file", _content_digest(path)
    raise UnusableTreeError(f"not a file, folder or link: {os.fsdecode(path)}")


def _content_digest(path: bytes) -> bytes:
    content = hashlib.sha256()
    # NOFOLLOW and NONBLOCK: what was a file a moment ago may have become a link or a pipe.
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise UnusableTreeError(f"changed while it was read: {os.fsdecode(path)}")
        while chunk := os.read(fd, _CHUNK_SIZE_BYTES):
            content.update(chunk)
    finally:
        os.close(fd)
    return content.digest()
