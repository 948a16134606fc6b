"""An entry that is not filed yet: a hidden folder that is filled while its run goes on, and survives its death."""

import logging
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from trajgen_assets.core.atomic import fsync_dir, write_json
from trajgen_assets.core.clock import now, stamp
from trajgen_assets.core.locks import is_locked, take_lock
from trajgen_assets.core.paths import Root
from trajgen_assets.core.report.archive.models import Begun

log = logging.getLogger(__name__)

FOLDER = ".open"
BEGUN = "begun.json"
SESSION = "session.log"


@dataclass(frozen=True)
class OpenEntry:
    """The folder of an entry that is being made. Whoever has it holds the lock beside it, so that one files it.

    The lock file goes after the folder, never before: as long as the folder is there, one file is its lock.
    """

    path: Path
    begun: Begun
    _lock_fd: int

    @property
    def session(self) -> Path:
        return self.path / SESSION

    def rewrite(self, begun: Begun) -> "OpenEntry":
        """The same entry with more known of its beginning."""
        write_json(self.path / BEGUN, begun.model_dump(mode="json"))
        return OpenEntry(self.path, begun, self._lock_fd)

    def move_to(self, target: Path) -> None:
        """Put the folder where it belongs, in one step."""
        fsync_dir(self.path)
        os.rename(self.path, target)  # noqa: PTH104  the system call is the point
        fsync_dir(target.parent)
        (target / BEGUN).unlink(missing_ok=True)  # afterwards: without it nobody could file what a kill left open

    def discard(self) -> None:
        """Remove the folder: there is nothing to file."""
        shutil.rmtree(self.path, ignore_errors=True)

    def let_go(self) -> None:
        """Let others have it, if it is still there."""
        if not self.path.exists():
            _lock_of(self.path).unlink(missing_ok=True)
        with suppress(OSError):
            os.close(self._lock_fd)


def begin(root: Root, *, job: str, owner: str, started_at: str | None = None) -> OpenEntry:
    """Open a new entry.

    Raises:
        OSError: it cannot be written.
    """
    path = root.archives / FOLDER / f"{now():%Y%m%d%H%M%S}-{secrets.token_hex(4)}"
    fd = take_lock(_lock_of(path))
    if fd is None:
        raise FileExistsError(path)  # a name that was drawn twice within a second
    begun = Begun(job=job, owner=owner, started_at=started_at or stamp())
    entry = OpenEntry(path, begun, fd)
    try:
        path.mkdir()
        return entry.rewrite(begun)
    except BaseException:
        entry.discard()
        entry.let_go()
        raise


def adopt(path: Path) -> OpenEntry | None:
    """Take over an entry that its run left behind; None where a living process has it, or it is gone."""
    fd = take_lock(_lock_of(path))
    if fd is None:
        return None
    begun = _read(path)
    if begun is None:
        with suppress(OSError):
            os.close(fd)
        return None
    return OpenEntry(path, begun, fd)


def left_open(root: Root) -> Iterator[tuple[Path, Begun]]:
    """Entries that are not filed, oldest first, whether their run lives or not."""
    try:
        paths = sorted(each for each in (root.archives / FOLDER).iterdir() if each.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return
    for path in paths:
        if (begun := _read(path)) is not None:
            yield path, begun
        elif _is_empty_of_a_dead_run(path):
            shutil.rmtree(path, ignore_errors=True)
            _lock_of(path).unlink(missing_ok=True)


def session_of_open(root: Root, job: str) -> str:
    """The session log of the newest entry of a job that is not filed, as far as it is written; empty without one."""
    with suppress(OSError):
        for path, begun in reversed(list(left_open(root))):
            if begun.job == job:
                return (path / SESSION).read_text(encoding="utf-8", errors="replace")
    return ""


def is_held(path: Path) -> bool:
    """Whether a living process has the entry."""
    try:
        return is_locked(_lock_of(path))
    except FileNotFoundError:
        return False


def _is_empty_of_a_dead_run(path: Path) -> bool:
    """Whether a run was killed between making the folder and saying what it is for: it did nothing yet."""
    return not is_held(path) and not (path / BEGUN).exists() and not (path / SESSION).exists()


def _read(path: Path) -> Begun | None:
    try:
        return Begun.model_validate_json((path / BEGUN).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        log.error("an open archive entry cannot be read: %s: %s. Mend: look at it and remove it", path, error)
        return None


def _lock_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")
