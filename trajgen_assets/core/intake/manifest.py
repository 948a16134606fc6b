"""The manifest: which task ids are verified. A task that it does not list is never rolled out."""

import hashlib
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trajgen_assets.core.errors import ManifestError, ManifestMissingError
from trajgen_assets.core.keys import is_safe_name

_N_READS = 3
_PAUSE_S = 0.05


@dataclass(frozen=True)
class ManifestProblem:
    """A line that is not taken, and why. Lines count from one; `text` is cut at 80 characters."""

    line: int
    text: str
    reason: str


@dataclass(frozen=True)
class Manifest:
    """A manifest as it was at one moment.

    Attributes:
        path: the file.
        sha256: digest of its bytes, hex.
        entries: task ids in the order of the file, each once, each safe as a name.
        problems: lines that are not taken; they never keep the others back.
        pending_line: the last line has no newline yet, so its writer may not be done with it: it waits.
    """

    path: Path
    sha256: str
    entries: tuple[str, ...]
    problems: tuple[ManifestProblem, ...] = ()
    pending_line: bool = False


def read_manifest(path: Path) -> Manifest:
    """Read one id a line; blank lines and lines that begin with `#` are skipped.

    An empty manifest has no entries yet. Duplicates are taken once, and reported once for each id.

    Raises:
        ManifestMissingError: there is no such file.
        ManifestError: it cannot be read, is not UTF-8, or does not keep still while it is read.
    """
    data = _read_settled(path)
    whole, newline, last = data.rpartition(b"\n")
    entries, problems = _sort_out(_lines(path, whole + newline))
    return Manifest(path, hashlib.sha256(data).hexdigest(), entries, problems, pending_line=bool(last.strip()))


def _read_settled(path: Path) -> bytes:
    """The whole file, from one descriptor, at a moment when nobody wrote to it or put another in its place."""
    for _ in range(_N_READS):
        try:
            data = _read_once(path)
        except FileNotFoundError:
            raise ManifestMissingError(
                "there is no manifest", where=path, mend="let the upstream block write it, or set task_source.manifest"
            ) from None
        except OSError as error:
            raise ManifestError("the manifest cannot be read", where=path, why=error.strerror) from error
        if data is not None:
            return data
        time.sleep(_PAUSE_S)
    raise ManifestError("the manifest changes while it is read", where=path, mend="try again when its writer is done")


def _read_once(path: Path) -> bytes | None:
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # NONBLOCK: a pipe in its place must not hang us
    try:
        before = os.fstat(fd)
        if not stat.S_ISREG(before.st_mode):
            raise ManifestError("the manifest is not a file", where=path)
        with os.fdopen(fd, "rb", buffering=0, closefd=False) as file:
            data = file.readall()
        settled = _identity(before) == _identity(os.fstat(fd)) == _identity(path.stat())
    finally:
        os.close(fd)
    return data if settled and len(data) == before.st_size else None


def _identity(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _lines(path: Path, data: bytes) -> Iterator[str]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ManifestError(
            "the manifest is not UTF-8", where=f"{path}, line {line}", mend="write it as UTF-8"
        ) from None
    return iter(text.split("\n"))  # not splitlines(): it also breaks at characters that are part of a line


def _sort_out(lines: Iterator[str]) -> tuple[tuple[str, ...], tuple[ManifestProblem, ...]]:
    first: dict[str, str] = {}  # id without regard to case, and as it was first written
    repeated: set[str] = set()
    problems: list[ManifestProblem] = []
    for number, line in enumerate(lines, 1):
        entry = line.strip()
        if not entry or entry.startswith("#"):
            continue
        if reason := _refusal(entry, first, repeated):
            problems.append(ManifestProblem(number, entry[:80], reason))
    return tuple(first.values()), tuple(problems)


def _refusal(entry: str, first: dict[str, str], repeated: set[str]) -> str | None:
    """Take `entry` into `first`, or say why not; a plain repetition is said once."""
    if not is_safe_name(entry):
        return "not a task id: letters, digits, '.', '_', '+', '-', starting with a letter or digit, 200 at most"
    folded = entry.lower()
    known = first.get(folded)
    if known is None:
        first[entry if folded == entry else folded] = entry  # one string and not two where case does not matter
        return None
    if known != entry:
        return f"differs from {known} only in case"
    if entry in repeated:
        return None
    repeated.add(entry)
    return "listed twice"
