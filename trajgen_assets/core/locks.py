"""File locks that end with whoever holds them, however that ends.

A lock is a raw `flock` on a descriptor. It is given back by closing the descriptor and never by LOCK_UN, which would
free it under a child that has inherited it.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def take_lock(path: Path) -> int | None:
    """Lock the file `path`, made if missing; returns its descriptor, or None where somebody has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    except BaseException:
        os.close(fd)
        raise
    return fd


@contextmanager
def locked_if_free(path: Path) -> Iterator[int | None]:
    """Hold the lock within the block, or say with None that somebody else has it; yields its descriptor."""
    fd = take_lock(path)
    try:
        yield fd
    finally:
        if fd is not None:
            os.close(fd)


@contextmanager
def locked(path: Path) -> Iterator[int]:
    """Hold the lock within the block, after waiting for whoever has it; yields its descriptor."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield fd
    finally:
        os.close(fd)


def is_locked(path: Path) -> bool:
    """Whether somebody holds the lock at this moment. To look, it is shared for microseconds."""
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
