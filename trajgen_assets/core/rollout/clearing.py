"""Known secrets are taken out of the files that a harness and its sandboxes leave: nobody asks us before they write.

A verifier may print what its task was given, and a client what an upstream echoed. A trial's folder is cleared when the
trial is settled, the job's own files when the harness has ended. The files are an agent's as well: no link is followed,
and what is no plain file is left alone.
"""

import logging
import os
import secrets
import stat
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from trajgen_assets.core.redact import Redactor

log = logging.getLogger(__name__)

# An agent can leave a file of any size behind. Its log of a whole day has a tenth of this.
MAX_BYTES = 256 << 20


def clear_tree(folder: Path, redactor: Redactor, *, but: Collection[str] = ()) -> int:
    """Clear every file below `folder`, except those with a name in `but`. Returns how many held a secret."""
    return sum(_clear(fd, name, folder, redactor) for fd, name in _files_below(folder) if name not in but)


def clear(path: Path, redactor: Redactor) -> int:
    """Clear this file, or all below this folder; what is not there is passed over. Returns how many held a secret."""
    if path.is_dir():
        return clear_tree(path, redactor)
    with suppress(FileNotFoundError):
        fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return int(_clear(fd, path.name, path.parent, redactor))
        finally:
            os.close(fd)
    return 0


def _files_below(folder: Path) -> Iterator[tuple[int, str]]:
    """Each plain file, by the descriptor of its folder and its name. A folder that stays closed is reported."""
    if not _opened_up(folder):
        return

    def report(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            log.warning("%s in %s was not searched for secrets: %s", error.filename, folder, error.strerror)

    try:
        for _, folders, names, fd in os.fwalk(folder, onerror=report, follow_symlinks=False):
            folders[:] = [name for name in folders if _opened_up(name, fd)]
            for name in names:
                with suppress(FileNotFoundError):
                    if stat.S_ISREG(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
                        yield fd, name
    except OSError as error:  # the walk says nothing of the folder that it begins with
        report(error)


def _opened_up(folder: str | Path, parent_fd: int | None = None) -> bool:
    """Whether this is a folder and no link to one. Its owner may do anything in it afterwards, if we are the owner."""
    try:
        if not stat.S_ISDIR(os.stat(folder, dir_fd=parent_fd, follow_symlinks=False).st_mode):
            return False
    except OSError as error:
        return not isinstance(error, FileNotFoundError)  # the walk meets it too, and reports it
    with suppress(OSError):
        # A handle that needs no permission: a link put here meanwhile would lead the change of the mode elsewhere.
        fd = os.open(folder, os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=parent_fd)
        try:
            mode = stat.S_IMODE(os.fstat(fd).st_mode)
            if mode & stat.S_IRWXU != stat.S_IRWXU:
                Path(f"/proc/self/fd/{fd}").chmod(mode | stat.S_IRWXU)
        finally:
            os.close(fd)
    return True


def _clear(folder_fd: int, name: str, place: Path, redactor: Redactor) -> bool:
    """Replace the file as a whole if it holds a secret: another name of it may lead out of here."""
    try:
        data, mode = _read(folder_fd, name)
        if data is None:
            log.warning("%s in %s was not searched for secrets: it is over %d bytes", name, place, MAX_BYTES)
            return False
        if not redactor.is_in(data):
            return False
        text = redactor.text(data.decode("utf-8", "surrogateescape"))
        _replace(folder_fd, name, text.encode("utf-8", "surrogateescape"), mode)
    except FileNotFoundError:
        return False
    except OSError as error:  # of another user, or the disk is full: the job's own end must not hang on it
        log.warning("%s in %s may hold a secret: it could not be cleared: %s", name, place, error.strerror)
        return False
    log.info("a secret was taken out of %s in %s", name, place)
    return True


def _read(folder_fd: int, name: str) -> tuple[bytes | None, int]:
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder_fd)
    with os.fdopen(fd, "rb") as file:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            return b"", 0
        return (file.read() if found.st_size <= MAX_BYTES else None), stat.S_IMODE(found.st_mode)


def _replace(folder_fd: int, name: str, data: bytes, mode: int) -> None:
    temp = f".{secrets.token_hex(8)}.tmp"
    fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=folder_fd)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(fd)
        os.rename(temp, name, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temp, dir_fd=folder_fd)
        raise
