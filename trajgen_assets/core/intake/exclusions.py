"""Task ids that are never to be assigned, whoever named them: people, lists, ledgers of the earlier system."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from trajgen_assets.core.config.config import EXCLUDE_NAME, Config
from trajgen_assets.core.errors import ConfigError, ImportRefusedError
from trajgen_assets.core.keys import is_safe_name
from trajgen_assets.core.ledger.models import TaskStatus
from trajgen_assets.core.ledger.published import read_published
from trajgen_assets.core.paths import Root

FILE_NAME = "excluded_tasks.txt"
LEDGER_SUFFIXES = (".yaml", ".yml")
# A file that was written a moment ago may be written again within one tick of its clock, and look the same.
SETTLED_S = 2.0
CONSUMED = (TaskStatus.DONE, TaskStatus.FAILED, TaskStatus.SKIPPED)


@dataclass(frozen=True)
class Exclusion:
    """One id, and who names it: a place in words, and what stands there about it.

    `is_consumed` is what a ledger has rolled out, which says nothing against the task.
    """

    task_id: str
    source: str
    is_consumed: bool = False


def excluded_ids(config: Config, root: Root | None = None) -> frozenset[str]:
    """The ids of all exclusions.

    Raises:
        ConfigError: as for `exclusions`.
    """
    return frozenset(each.task_id for each in exclusions(config, root))


def exclusions(config: Config, root: Root | None = None) -> list[Exclusion]:
    """What `excluded_tasks.txt` beside the configuration and the tokens of `HARBOR_EXCLUDE_TASKS` name, in this order.

    A token is a task id, a text file with one id a line and `#` comments, or a YAML ledger of which the ids that are
    done, failed or skipped count. The published view of `root` is passed over: the ledger itself says what it says.

    Raises:
        ConfigError: a token is no task id, or names a file that is not there or cannot be read as one of these. It
            never means "exclude nothing".
    """
    own = config.resolve(FILE_NAME)
    found = list(_read_once(own, FILE_NAME)) if own.exists() or own.is_symlink() else []
    for place, text in config.exclusion_texts():
        for token in text.split():
            found += _of_token(config, root, token, place)
    return found


def _of_token(config: Config, root: Root | None, token: str, place: str) -> Iterator[Exclusion]:
    path = config.resolve(token)
    if not (path.is_file() or _looks_like_path(token)):
        yield Exclusion(_checked(token, place), place)
    elif root is not None and os.path.realpath(path) == os.path.realpath(root.ledger_view):
        return
    else:
        yield from _read_once(path, f"{token} of {place}")


def _looks_like_path(token: str) -> bool:
    return "/" in token or token.endswith((".txt", *LEDGER_SUFFIXES))


def _read_once(path: Path, source: str) -> tuple[Exclusion, ...]:
    """What a file names. As long as it stays as it is, it is read once: one tick asks for it many times."""
    if path.exists() and not path.is_file():  # a pipe or a device would be waited for
        raise _unreadable(path, "it is not a file")
    try:
        found = path.stat()
    except OSError as error:
        raise _unreadable(path, error.strerror) from error
    if time.time() - found.st_mtime < SETTLED_S:
        return _read(path, source)
    return _remembered(path, source, (found.st_ino, found.st_size, found.st_mtime_ns))


@lru_cache(maxsize=64)
def _remembered(path: Path, source: str, _stamp: tuple[int, ...]) -> tuple[Exclusion, ...]:
    return _read(path, source)


def _read(path: Path, source: str) -> tuple[Exclusion, ...]:
    return tuple(_of_ledger(path, source) if path.suffix in LEDGER_SUFFIXES else _of_list(path, source))


def _of_list(path: Path, source: str) -> Iterator[Exclusion]:
    try:
        lines = _bytes(path).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise _unreadable(path, f"it is not UTF-8 (byte {error.start})") from None
    for number, line in enumerate(lines, start=1):
        text, _, comment = (part.strip() for part in line.partition("#"))
        if text:
            said = f"{source}, line {number}" + (f": {comment}" if comment else "")
            yield Exclusion(_checked(text, f"{path}, line {number}"), said)


def _of_ledger(path: Path, source: str) -> Iterator[Exclusion]:
    try:
        entries = read_published(_bytes(path), path)
    except ImportRefusedError as error:
        raise _unreadable(path, error.why) from None
    for entry in entries:
        if entry.status in CONSUMED:
            is_consumed = entry.status is not TaskStatus.SKIPPED
            yield Exclusion(entry.task_id, f"{source}: {entry.status.value}", is_consumed)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error.strerror) from error


def _checked(text: str, where: str) -> str:
    if not is_safe_name(text):
        mend = "write task ids, separated by spaces in the variable, one a line in a file"
        raise ConfigError(f"{text[:80]!r} is no task id, so it would exclude nothing", where=where, mend=mend)
    return text


def _unreadable(path: Path, why: object) -> ConfigError:
    mend = f"correct {EXCLUDE_NAME}, or put the file in order"
    return ConfigError("a list of excluded tasks cannot be read", where=path, why=why, mend=mend)
