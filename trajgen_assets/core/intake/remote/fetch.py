"""A source elsewhere becomes a folder here: fetched into a hidden one, looked over, and renamed when it is whole."""

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import disk_usage, rmtree
from typing import Literal

from pydantic import BaseModel, ConfigDict

from trajgen_assets.core.atomic import fsync_dir, write_json, write_text
from trajgen_assets.core.clock import now
from trajgen_assets.core.errors import BusyError, DownloadError, RequirementError, TrajgenError
from trajgen_assets.core.faults import reached
from trajgen_assets.core.intake.remote.hub import fetch_hub
from trajgen_assets.core.intake.remote.registry import fetch_registry
from trajgen_assets.core.intake.remote.remote import HUGGINGFACE, Remote
from trajgen_assets.core.intake.remote.tree import Tree, complete_tasks, look_over, manifests_in, root_of
from trajgen_assets.core.locks import locked_if_free
from trajgen_assets.core.provision.command import Say

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
# A disk with less than that is full: what failed on it failed for that.
_FULL_BELOW_BYTES = 1 << 20


class Record(BaseModel):
    """`source.json`: what was downloaded. `sha256` covers each file's path and content."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    provider: str
    name: str
    revision: str | None
    allow_patterns: tuple[str, ...]
    archive: str | None
    subfolder: str | None
    n_files: int
    size_bytes: int
    sha256: str
    n_complete_tasks: int
    manifests: tuple[str, ...]
    fetched_at: str


@dataclass(frozen=True)
class Fetched:
    """A source that is here whole; `is_new` if it was not before."""

    remote: Remote
    is_new: bool


def fetch(remote: Remote, harbor_env: Path, say: Say) -> Fetched:
    """Bring `remote` here, unless it is here.

    What else of the data set was downloaded before stays, and so does what is half here: the next call goes on with
    it, or begins anew.

    Raises:
        BusyError: somebody else downloads it now.
        DownloadError: it could not be had whole, is not what may lie here, or something is in its place.
        RequirementError: the disk is full or too small for it, or Harbor is not installed.
    """
    if remote.is_whole:
        return _told_apart(Fetched(remote, is_new=False))
    with _disk_of(remote), locked_if_free(remote.lock) as lock:
        if lock is None:
            mend = "wait for it: `trajgen prepare-tasks` then finds it whole"
            raise BusyError("another process downloads this source", where=remote.words, mend=mend)
        if remote.is_whole:  # by whoever had the lock
            return _told_apart(Fetched(remote, is_new=False))
        _begin(remote)
        say(f"downloading {remote.words} from {remote.provider}")
        tree = (
            fetch_hub(remote, say, lock)
            if remote.provider == HUGGINGFACE
            else fetch_registry(remote, harbor_env, say, lock)
        )
        _make_whole(remote, tree)
    return _told_apart(Fetched(remote, is_new=True))


def fetch_each(remotes: Iterable[Remote], harbor_env: Path, say: Say) -> Iterator[Fetched | TrajgenError]:
    """Bring each source here, in turn, though others fail: what came of it, or why it did not come."""
    for remote in remotes:
        try:
            yield fetch(remote, harbor_env, say)
        except TrajgenError as error:
            yield error


def fetch_all(remotes: Iterable[Remote], harbor_env: Path, say: Say) -> list[Fetched]:
    """Bring each source here, in turn, though others fail; `say` gets what became of those that fail.

    Raises:
        TrajgenError: one of them could not be had; the first that could not. The others are here.
    """
    found = list(fetch_each(remotes, harbor_env, say))
    errors = [each for each in found if isinstance(each, TrajgenError)]
    for error in errors:
        say(str(error))
    if errors:
        raise errors[0]
    return [each for each in found if isinstance(each, Fetched)]


def _told_apart(fetched: Fetched) -> Fetched:
    """Refuse to take each task for verified where the download itself says which are, and to guess where it does not.

    The download stays: another word in the configuration is enough.
    """
    remote = fetched.remote
    if remote.is_all_verified and not remote.every_task.exists():
        mend = "leave task_source.manifest out, and what it lists is taken"
        raise DownloadError("what was downloaded has a manifest of its own", where=remote.tasks, mend=mend)
    return fetched


def _begin(remote: Remote) -> None:
    """What an earlier try took apart cannot be gone on with; what it downloaded can."""
    for name in ("whole", "unpacked"):
        rmtree(remote.part / name, ignore_errors=True)
    remote.part.mkdir(parents=True, exist_ok=True)


def _make_whole(remote: Remote, tree: Path) -> None:
    whole = remote.part / "whole"
    found = look_over(tree, remote.limits)
    root = root_of(remote, tree)
    whole.mkdir()
    root.rename(whole / "tasks")
    ids, manifests = complete_tasks(whole / "tasks"), manifests_in(whole / "tasks")
    if not manifests:
        heading = "# Each complete task of the download. It counts only where the configuration says manifest: none.\n"
        write_text(whole / remote.every_task.name, heading + "".join(f"{each}\n" for each in ids))
    write_json(whole / remote.record.name, _record_of(remote, found, len(ids), manifests).model_dump())
    os.sync()  # thousands of small files: the rename must not be durable before they are
    reached("before_whole")
    whole.rename(remote.folder)
    fsync_dir(remote.base)
    reached("after_whole")
    rmtree(remote.part)


def _record_of(remote: Remote, tree: Tree, n_tasks: int, manifests: list[str]) -> Record:
    return Record(
        provider=remote.provider,
        name=remote.name,
        revision=remote.revision,
        allow_patterns=remote.allow_patterns,
        archive=remote.archive,
        subfolder=remote.subfolder,
        n_files=tree.n_files,
        size_bytes=tree.size_bytes,
        sha256=tree.sha256,
        n_complete_tasks=n_tasks,
        manifests=tuple(manifests),
        fetched_at=now().isoformat(),
    )


def read_record(remote: Remote) -> Record:
    """What was downloaded of a source that is here.

    Raises:
        DownloadError: its record was changed, or is of another version of this program.
    """
    try:
        return Record.model_validate_json(remote.record.read_bytes())
    except (OSError, ValueError) as error:
        mend = "remove the folder that it lies in, and download it again"
        raise DownloadError("the record of a download cannot be read", where=remote.record, mend=mend) from error


@contextmanager
def _disk_of(remote: Remote) -> Iterator[None]:
    """A full disk is said as that, whoever met it and in whatever words; any other trouble with it by its place."""
    try:
        remote.base.mkdir(parents=True, exist_ok=True)
        yield
    except DownloadError as error:
        is_said = any(os.strerror(number) in str(error) for number in _NO_ROOM)  # and its parts are removed again
        if not is_said and disk_usage(remote.base).free > _FULL_BELOW_BYTES:
            raise
        raise _full(remote, error.why) from error
    except TrajgenError:  # some are errors of the system, too
        raise
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise _full(remote, error.strerror) from error
        where, mend = (
            error.filename2 or error.filename or remote.base,
            "see what lies there, and whose it is; then again",
        )
        raise DownloadError("a download cannot be put there", where=where, why=error.strerror, mend=mend) from error


def _full(remote: Remote, why: str | None) -> RequirementError:
    mend = "make room, and do it again; what stood before stands"
    why = f"downloading {remote.words}: {why}" if why else f"downloading {remote.words}"
    return RequirementError("there is no room for a download", where=remote.base, why=why, mend=mend)
