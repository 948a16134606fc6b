"""What a tar of an agent's folder holds, entry by entry, taken as hostile: no name is trusted, nothing is extracted."""

import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import IO

_BUFFER_BYTES = 1 << 20
_END = bytes(1024)

# What git refuses as part of a path, on every system alike: https://git-scm.com/docs/git-config, core.protectNTFS.
_GIT_FOLDER = re.compile(rb"(\.git|git~1)[. ]*(:.*)?", re.IGNORECASE | re.DOTALL)


class Kind(StrEnum):
    """What an entry is. Folders and what is not taken have no content."""

    FILE = "file"
    LINK = "link"
    HARD_LINK = "hard_link"
    FOLDER = "folder"
    SPECIAL = "special"
    GIT = "git"


class TarError(RuntimeError):
    """The stream is no tar, ends too early, or has names that lead elsewhere."""


@dataclass(frozen=True)
class TarEntry:
    """One entry.

    Attributes:
        path: below the folder, of any bytes but NUL, without a leading or trailing slash.
        kind: `GIT` is whatever git refuses by its name, `SPECIAL` a device, pipe or socket.
        target: where a link leads, word for word; of a hard link an earlier path.
        source: the content of a file, to be read before the next entry.
    """

    path: bytes
    kind: Kind
    is_executable: bool = False
    size_bytes: int = 0
    target: bytes = b""
    source: "_Content | None" = None


class _Content:
    """What a file of the tar holds. A tar that ends within it is told as such."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source

    def read(self, size: int) -> bytes:
        """The next bytes, at most `size`; none at its end. Raises TarError."""
        try:
            return self._source.read(size)
        except tarfile.TarError as error:
            raise TarError(f"no whole tar: {error}") from error


class _Watched:
    """A stream of which the last bytes are known."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.tail = b""

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self.tail = data[-len(_END) :] if len(data) >= len(_END) else (self.tail + data)[-len(_END) :]
        return data

    def drain(self) -> None:
        while self.read(_BUFFER_BYTES):
            pass


def tar_entries(stream: IO[bytes]) -> Iterator[TarEntry]:
    """Each entry of the tar in `stream`, less the folder itself.

    Raises:
        TarError: see there.
    """
    watched = _Watched(stream)
    try:
        with tarfile.open(
            fileobj=watched, mode="r|", encoding="utf-8", errors="surrogateescape", bufsize=_BUFFER_BYTES
        ) as archive:
            while (member := archive.next()) is not None:
                archive.members.clear()  # it would keep them all, and there may be a million
                if path := _path(member.name):
                    yield _entry(archive, member, path)
    except (tarfile.TarError, EOFError, OverflowError, UnicodeError, ValueError) as error:
        raise TarError(f"no readable tar: {error}") from error
    watched.drain()
    if watched.tail != _END:  # the library takes a header that breaks off for the end
        raise TarError("no whole tar: it has no end mark")


def _entry(archive: tarfile.TarFile, member: tarfile.TarInfo, path: bytes) -> TarEntry:
    if _is_refused_by_git(path):
        return TarEntry(path, Kind.GIT)
    if member.isdir():
        return TarEntry(path, Kind.FOLDER)
    if member.issym():
        return TarEntry(path, Kind.LINK, target=_bytes(member.linkname))
    if member.islnk():
        return TarEntry(path, Kind.HARD_LINK, target=_path(member.linkname))
    source = archive.extractfile(member) if member.isfile() else None
    if source is None:
        return TarEntry(path, Kind.SPECIAL)
    return TarEntry(path, Kind.FILE, bool(member.mode & 0o100), member.size, source=_Content(source))


def _path(name: str) -> bytes:
    """The name as a path below the folder; empty for the folder itself."""
    parts = [part for part in _bytes(name).split(b"/") if part not in {b"", b"."}]
    if b".." in parts or name.startswith("/") or "\0" in name:
        raise TarError(f"a name leads outside: {name[:100]!r}")
    return b"/".join(parts)


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _is_refused_by_git(path: bytes) -> bool:
    return any(_GIT_FOLDER.fullmatch(part) for part in re.split(rb"[/\\]", path))
