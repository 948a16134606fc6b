"""One task, staged: a copy (or link) whose digest is that of its source, put in place in one step.

Beside the staged tasks of a data set lies `.staged/<task_id>.json`, one for each folder that was put there by
this module; only such folders are ever replaced or removed. Contents are not synced to disk: after a power cut
the digest tells, and the copy is made again.
"""

import errno
import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from trajgen_assets.core.atomic import replace_link, write_json
from trajgen_assets.core.errors import RequirementError, TaskChangedError, TaskError
from trajgen_assets.core.intake.digest import UnusableTreeError
from trajgen_assets.core.intake.rows import content_digest, is_row, write_staged_row
from trajgen_assets.core.intake.source import StagingMode
from trajgen_assets.core.keys import is_safe_name
from trajgen_assets.core.locks import locked

RECORDS = ".staged"
_SCHEMA_VERSION = 1
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True)
class Staged:
    """A task that is ready: `folder` is what the harness is given, `digest` that of its content.

    `changed` is false when everything stood there already, and always for a task used in place.
    """

    task_id: str
    folder: Path
    digest: str
    changed: bool


def stage_task(source: Path, target: Path, *, mode: StagingMode = "copy", expected_digest: str | None = None) -> Staged:
    """Bring the task folder `source` to `target`; when it is there already, do nothing.

    Args:
        source: the task folder; it may be a link to one.
        target: `<staging root>/<data set>/<task id>`; its folder is made if missing.
        mode: `copy`, `link` (an absolute link to `source`), or `in_place` (`target` is not touched).
        expected_digest: what the content has to be, where that is recorded.

    Raises:
        TaskError: the source is missing or cannot be copied, or a folder that was not staged is in the way.
        TaskChangedError: the content is not the expected one, or changes while it is staged.
        RequirementError: the disk is full. The earlier stage stands untouched.
    """
    _refuse_unsafe(target)
    digest = _source_digest(source, expected_digest)
    if mode == "in_place":
        return Staged(target.name, source, digest, changed=False)
    try:
        with locked(target.parent / RECORDS / "lock"):  # no other process stages there meanwhile
            _recover(target)
            changed = _link(source, target) if mode == "link" else _copy(source, target, digest)
    except OSError as error:
        raise _os_error(source, target, error) from error
    return Staged(target.name, target, digest, changed)


def staged_ids(dataset_folder: Path) -> list[str]:
    """The tasks that were staged into `dataset_folder`, sorted; those that were there otherwise are not among them."""
    names = (path.name.removesuffix(".json") for path in (dataset_folder / RECORDS).glob("*.json"))
    return sorted(name for name in names if is_safe_name(name))


def unstage(target: Path) -> bool:
    """Remove a task that was staged to `target`; any other folder is left alone and False returned."""
    _refuse_unsafe(target)
    with locked(target.parent / RECORDS / "lock"):  # no other process stages there meanwhile
        _recover(target)
        if not _record(target).exists():
            return False
        _discard(target)
        _record(target).unlink()  # after the folder: what is left after a crash is still known to be ours
        return True


def _copy(source: Path, target: Path, digest: str) -> bool:
    if not target.is_symlink() and target.is_dir() and _digest_or_none(target) == digest:
        return False
    fresh = _beside(target, "new")
    try:
        _write(source, fresh)
        if _digest_or_none(fresh) != digest:
            raise TaskChangedError("the task changed while it was copied", where=source, mend="stage it again later")
        _claim(target, source, "copy")
        _swap_in(fresh, target)
    finally:
        _remove(fresh)
    return True


def _write(source: Path, fresh: Path) -> None:
    if is_row(source):
        write_staged_row(source, fresh)
    else:
        shutil.copytree(source, fresh, symlinks=True)


def _link(source: Path, target: Path) -> bool:
    end = source.resolve()
    if target.is_symlink() and target.readlink() == end:
        return False
    if end == target.absolute():
        raise TaskError("a task cannot be a link to itself", where=target, mend="use staging: in_place")
    _claim(target, source, "link")
    if not target.is_symlink():  # staged as a copy before
        _discard(target)
    replace_link(target, end)
    return True


def _os_error(source: Path, target: Path, error: OSError) -> RequirementError | TaskError:
    # copytree gathers what it met in a tree as texts, without their numbers
    full = error.errno in _NO_ROOM or any(os.strerror(each) in str(error) for each in _NO_ROOM)
    if full:
        return RequirementError("there is no room to stage a task", where=target.parent, mend="free disk space")
    return TaskError("the task cannot be staged", where=source, why=error.strerror or type(error).__name__)


def _swap_in(fresh: Path, target: Path) -> None:
    """Put `fresh` in the place of `target`. A crash between the two renames is mended by `_recover`."""
    old = _beside(target, "old")
    if target.is_symlink():
        target.unlink()
    elif target.exists():
        os.replace(target, old)
    os.replace(fresh, target)
    _remove(old)


def _recover(target: Path) -> None:
    """Finish or undo what a stager left behind that died. The lock says that none is alive."""
    old = _beside(target, "old")
    if old.exists() and not os.path.lexists(target):
        os.replace(old, target)
    _remove(old)
    _remove(_beside(target, "new"))


def _claim(target: Path, source: Path, mode: StagingMode) -> None:
    """Record that `target` is ours, before it is: a record without a folder harms nobody, the reverse may."""
    if os.path.lexists(target) and not _record(target).exists():
        raise TaskError(
            "a folder that was not staged here is in the way", where=target, mend="move it away, or rename the data set"
        )
    record = {"schema_version": _SCHEMA_VERSION, "task_id": target.name, "mode": mode, "source": str(source.absolute())}
    write_json(_record(target), record)


def _discard(target: Path) -> None:
    if target.is_symlink():
        target.unlink()
    elif target.exists():
        old = _beside(target, "old")
        os.replace(target, old)  # half a task must never stand under its name
        _remove(old)


def _remove(folder: Path) -> None:
    """Delete a folder of ours, also one whose folders were copied read-only."""
    if folder.is_symlink() or not folder.is_dir():
        folder.unlink(missing_ok=True)
        return
    for current, _, _ in os.walk(folder):
        Path(current).chmod(stat.S_IRWXU)
    shutil.rmtree(folder)


def _source_digest(source: Path, expected: str | None) -> str:
    try:
        digest = content_digest(source)
    except TaskError:
        raise
    except (FileNotFoundError, NotADirectoryError):
        raise TaskError("there is no such task folder", where=source) from None
    except (OSError, UnusableTreeError) as error:
        raise TaskError("the task folder cannot be read", where=source, why=error) from error
    if expected is not None and digest != expected:
        raise TaskChangedError(
            "the content of the task is not the recorded one", where=source, why=f"{digest[:12]} is not {expected[:12]}"
        )
    return digest


def _digest_or_none(folder: Path) -> str | None:
    try:
        return content_digest(folder)
    except (OSError, TaskError, UnusableTreeError):
        return None


def _refuse_unsafe(target: Path) -> None:
    if not is_safe_name(target.name) or ".." in target.parts:
        raise TaskError(f"{target.name[:80]!r} cannot be used as a task id", where=target.parent)


def _beside(target: Path, kind: str) -> Path:
    return target.with_name(f".{target.name}.{kind}")


def _record(target: Path) -> Path:
    return target.parent / RECORDS / f"{target.name}.json"
