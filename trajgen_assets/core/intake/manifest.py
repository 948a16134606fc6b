"""The manifest: which task ids are verified. A task that it does not list is never rolled out."""

import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TypeVar

from trajgen_assets.core.errors import ManifestError, ManifestMissingError
from trajgen_assets.core.intake.rows import SUFFIX, id_in
from trajgen_assets.core.keys import is_safe_name

_N_READS = 3
_PAUSE_S = 0.05
_CHUNK_SIZE_BYTES = 1 << 20

# A writer that appends line by line has long written the rest of its line by then.
AT_REST_AFTER_S = 60.0

_MISSING_ROWS_MEND = "write it, or correct task_source.dataset_name"
_MISSING_MEND = (
    "let the upstream block write it, or set task_source.manifest (`none`: each row of a JSONL file, or each complete "
    "task of a download); what is downloaded comes by `trajgen prepare-tasks`"
)

T = TypeVar("T")


@dataclass(frozen=True)
class ManifestProblem:
    """A line that is not taken, and why. Lines count from one; `text` is cut at 80 characters."""

    line: int
    text: str
    reason: str


@dataclass(frozen=True)
class Mark:
    """Where a reading ended, and by what to know later that the file still begins with what was read.

    Attributes:
        device, inode: of the file.
        position: bytes up to the end of the last line that was taken.
        sha256: digest of these bytes, hex.
        n_lines: lines up to there.
        n_entries: distinct task ids up to there.
        is_open: the last of these lines had no newline. If it goes on, other ids are listed than were read.
    """

    device: int
    inode: int
    position: int
    sha256: str
    n_lines: int
    n_entries: int
    is_open: bool = False


@dataclass(frozen=True)
class Manifest:
    """A manifest as it was at one moment, or what was appended to it since an earlier one.

    Attributes:
        path: the file.
        sha256: digest of all its bytes, hex.
        entries: task ids in the order of the file, each once, each safe as a name; of an appended part those only
            that no line before it has.
        end: where this reading ended, for `read_appended`.
        problems: lines that are not taken; they never keep the others back.
        pending_line: the last line has no newline, and its writer may not be done with it: it waits.
    """

    path: Path
    sha256: str
    entries: tuple[str, ...]
    end: Mark
    problems: tuple[ManifestProblem, ...] = ()
    pending_line: bool = False

    @property
    def pending_words(self) -> str | None:
        """Which line waits, and for what; None if none does."""
        if not self.pending_line:
            return None
        wait = f"it is taken when nobody has written to the file for {AT_REST_AFTER_S:.0f} s"
        return f"line {self.end.n_lines + 1} has no newline yet: {wait}"


def read_manifest(path: Path) -> Manifest:
    """Read one id a line; blank lines and lines that begin with `#` are skipped. A JSONL file lists its rows' ids.

    An empty manifest has no entries yet. Duplicates are taken once, and reported once for each id. A last line without
    a newline is taken when nobody has written to the file for `AT_REST_AFTER_S`: by then it is all that there will be.

    Raises:
        ManifestMissingError: there is no such file.
        ManifestError: it cannot be read, is not UTF-8, or does not keep still while it is read.
    """
    return _read_settled(path, lambda fd, status: _read_whole(path, fd, status))


def read_appended(path: Path, mark: Mark) -> Manifest | None:
    """Read what was appended since `mark`: entries and problems are those that reading in full would add.

    What lies before the mark is compared with its digest, and searched for the ids that were appended. Nothing of it
    is kept in memory.

    Returns:
        None if the file is another one, shorter, or begins with other bytes than were read then, or if the last line
        was taken without a newline and now goes on.

    Raises:
        ManifestMissingError, ManifestError: as `read_manifest`.
    """
    return _read_settled(path, lambda fd, status: _read_since(path, fd, status, mark))


def listed_in(path: Path) -> Iterator[tuple[int, str]]:
    """Each line of a manifest, from one, with the id that it lists, as far as the file is there and can be read."""
    read = _reader_of(path)
    try:
        with path.open(encoding="utf-8", errors="replace", newline="\n") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    yield number, read(line)
                except ValueError:
                    continue
    except OSError:
        return


def _reader_of(path: Path) -> Callable[[str], str]:
    return id_in if path.suffix == SUFFIX else str.strip


def missing_manifest(path: Path, dataset: str | None = None) -> ManifestMissingError:
    """The error about a manifest that is not there; with `manifest: none` the file of rows is it."""
    what, mend = ("file of rows", _MISSING_ROWS_MEND) if path.suffix == SUFFIX else ("manifest", _MISSING_MEND)
    return ManifestMissingError(f"there is no {what}{f' of {dataset}' if dataset else ''}", where=path, mend=mend)


def _read_settled(path: Path, read: Callable[[int, os.stat_result], T]) -> T:
    """What `read` makes of the file, from one descriptor, at a moment when nobody wrote to it or replaced it."""
    for _ in range(_N_READS):
        try:
            found = _read_once(path, read)
        except FileNotFoundError:
            raise missing_manifest(path) from None
        except OSError as error:
            raise ManifestError("the manifest cannot be read", where=path, why=error.strerror) from error
        if found is not None:
            return found[0]
        time.sleep(_PAUSE_S)
    raise ManifestError("the manifest changes while it is read", where=path, mend="try again when its writer is done")


def _read_once(path: Path, read: Callable[[int, os.stat_result], T]) -> tuple[T] | None:
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # NONBLOCK: a pipe in its place must not hang us
    try:
        before = os.fstat(fd)
        if not stat.S_ISREG(before.st_mode):
            raise ManifestError("the manifest is not a file", where=path)
        try:
            found = read(fd, before)
        except _MovedError:
            return None
        settled = _identity(before) == _identity(os.fstat(fd)) == _identity(path.stat())
    finally:
        os.close(fd)
    return (found,) if settled else None


class _MovedError(Exception):
    """The file had another size than it said."""


def _identity(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _read_whole(path: Path, fd: int, status: os.stat_result) -> Manifest:
    if os.pread(fd, 1, status.st_size):
        raise _MovedError
    start = Mark(status.st_dev, status.st_ino, position=0, sha256="", n_lines=0, n_entries=0)
    return _read_behind(path, fd, status, start, _Sorting(_reader_of(path)), hashlib.sha256())


def _read_since(path: Path, fd: int, status: os.stat_result, mark: Mark) -> Manifest | None:
    if (status.st_dev, status.st_ino) != (mark.device, mark.inode):
        return None
    if not 0 <= mark.position <= status.st_size or (mark.is_open and _goes_on(fd, mark.position)):
        return None
    sorting, digest = _Sorting(_reader_of(path)), hashlib.sha256()
    appended = _pieces(fd, mark.position, status.st_size)
    lines = (line for data in appended for line in _split(data, errors="replace"))
    wanted = {sorting.folded(line) for line in lines} - {""}
    for data in _pieces(fd, 0, mark.position):
        digest.update(data)
        if wanted:
            sorting.recall(wanted, data)
    if digest.hexdigest() != mark.sha256:
        return None
    is_now_whole = mark.is_open and status.st_size > mark.position  # what is read first is its newline
    sorting.problems, sorting.n_lines = [], mark.n_lines - is_now_whole
    return _read_behind(path, fd, status, mark, sorting, digest)


def _goes_on(fd: int, position: int) -> bool:
    """Whether the line that ended at `position` has got more than its newline."""
    following = os.pread(fd, 2, position)
    return bool(following) and following != b"\r\n" and not following.startswith(b"\n")


def _read_behind(
    path: Path, fd: int, status: os.stat_result, mark: Mark, sorting: "_Sorting", digest: "hashlib._Hash"
) -> Manifest:
    """Sort out the lines behind `mark`; `sorting` and `digest` have met what lies before it."""
    n_earlier, position, torn, is_open = len(sorting.first), mark.position, b"", mark.is_open
    is_at_rest = time.time() - status.st_mtime >= AT_REST_AFTER_S
    for data in _pieces(fd, mark.position, status.st_size):
        is_open = not data.endswith(b"\n") and is_at_rest and bool(data.strip())
        if not data.endswith(b"\n") and not is_open:
            torn = data
            continue
        digest.update(data)
        sorting.take(path, data, encoding="utf-8" if position else "utf-8-sig")
        position += len(data)
    entries = tuple(islice(sorting.first.values(), n_earlier, None))
    n_entries = mark.n_entries + len(entries)
    end = Mark(mark.device, mark.inode, position, digest.hexdigest(), sorting.n_lines, n_entries, is_open)
    digest.update(torn)
    problems = tuple(sorting.problems)
    return Manifest(path, digest.hexdigest(), entries, end, problems, pending_line=bool(torn.strip()))


def _pieces(fd: int, start: int, end: int) -> Iterator[bytes]:
    """The bytes from `start` to `end` in pieces of whole lines, and last what has no newline yet, if anything."""
    rest = b""
    while start < end:
        chunk = os.pread(fd, min(_CHUNK_SIZE_BYTES, end - start), start)
        if not chunk:
            raise _MovedError
        start += len(chunk)
        whole, newline, last = chunk.rpartition(b"\n")
        if newline:
            yield rest + whole + newline
            rest = last
        else:
            rest += chunk
    if rest:
        yield rest


def _split(data: bytes, encoding: str = "utf-8", errors: str = "strict") -> list[str]:
    # not splitlines(): it also breaks at characters that are part of a line
    return data.decode(encoding, errors).removesuffix("\n").split("\n")


@dataclass
class _Sorting:
    """Lines as they come, each taken or refused. `read` says which id a line lists, and raises ValueError for none."""

    read: Callable[[str], str]
    n_lines: int = 0
    first: dict[str, str] = field(default_factory=dict)  # id without regard to case, and as it was first written
    repeated: set[str] = field(default_factory=set)
    problems: list[ManifestProblem] = field(default_factory=list)

    def take(self, path: Path, data: bytes, *, encoding: str) -> None:
        """Sort out whole lines."""
        try:
            lines = _split(data, encoding)
        except UnicodeDecodeError as error:
            number = self.n_lines + error.object.count(b"\n", 0, error.start) + 1
            raise ManifestError(
                "the manifest is not UTF-8", where=f"{path}, line {number}", mend="write it as UTF-8"
            ) from None
        for line in lines:
            self._take(line)

    def recall(self, wanted: Set[str], data: bytes) -> None:
        """Of lines that were sorted out before, take those again by which one of `wanted` would be judged."""
        text = data.decode("utf-8-sig", "replace")
        if self.read is not str.strip or not wanted.isdisjoint(map(str.strip, text.lower().split("\n"))):
            for line in text.split("\n"):
                if self.folded(line) in wanted:
                    self._take(line)

    def folded(self, line: str) -> str:
        """The id that a line lists, without regard to case; empty where it lists none."""
        try:
            return self.read(line).lower()
        except ValueError:
            return ""

    def _take(self, line: str) -> None:
        self.n_lines += 1
        try:
            entry = self.read(line)
        except ValueError as error:
            self.problems.append(ManifestProblem(self.n_lines, line.strip()[:80], str(error)))
            return
        if not entry or entry.startswith("#"):
            return
        if reason := self._refusal(entry):
            self.problems.append(ManifestProblem(self.n_lines, entry[:80], reason))

    def _refusal(self, entry: str) -> str | None:
        """Take `entry` into `first`, or say why not; a plain repetition is said once."""
        if not is_safe_name(entry):
            return "not a task id: letters, digits, '.', '_', '+', '-', starting with a letter or digit, 200 at most"
        folded = entry.lower()
        known = self.first.get(folded)
        if known is None:
            self.first[entry if folded == entry else folded] = entry  # one string and not two where case is no matter
            return None
        if known != entry:
            return f"differs from {known} only in case"
        if entry in self.repeated:
            return None
        self.repeated.add(entry)
        return "listed twice"
