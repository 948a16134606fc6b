"""Files between host and sandbox as tar streams, so that every path is resolved inside the sandbox.

The host never opens a path of the sandbox: a symbolic link that an agent planted leads only to what the agent can
see anyway. What comes back is taken as hostile: only plain files and folders below the target are written.
"""

import os
import shutil
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

MAX_DOWNLOAD_BYTES = 2 * 1024**3
_CHUNK_BYTES = 1024 * 1024


class TransferError(RuntimeError):
    """Files could not be brought into the sandbox or out of it."""


@dataclass(frozen=True)
class Entry:
    """One file or folder to pack: `name` is its path below the target, `.` for the target itself."""

    source: Path
    name: str


def pack(entries: Iterable[Entry], stream: IO[bytes], *, mode: int | None = None) -> None:
    """Write `entries`, folders with all they hold, to `stream`. Links stay links; everything belongs to root.

    Args:
        mode: permission bits for all that is packed, instead of its own.
    """

    def owned(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        if mode is not None:
            member.mode = mode
        return None if member.isdev() else member

    with tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for entry in entries:
            archive.add(entry.source, entry.name, filter=owned)


def unpack(stream: IO[bytes], target: Path, *, max_bytes: int = MAX_DOWNLOAD_BYTES) -> list[str]:
    """Write the plain files and folders of the tar in `stream` below `target`.

    Returns:
        The names that were left out: links and devices, which could lead a reader out of `target`.

    Raises:
        TransferError: a name leads outside, the content is larger than `max_bytes`, or it is no tar.
    """
    left_out: list[str] = []
    budget = _Budget(max_bytes)
    target.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                if not _write_member(archive, member, target, budget):
                    left_out.append(member.name)
    except (tarfile.TarError, EOFError, OverflowError, UnicodeError) as error:
        raise TransferError(f"the sandbox sent no readable tar for {target.name}: {error}") from error
    return left_out


def unpack_file(stream: IO[bytes], target: Path, *, max_bytes: int = MAX_DOWNLOAD_BYTES) -> None:
    """Write the one plain file that the tar in `stream` holds to `target`.

    Raises:
        TransferError: there is no plain file in it, or it is larger than `max_bytes`.
    """
    budget = _Budget(max_bytes)
    try:
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            member = archive.next()
            if member is None or not member.isfile():
                raise TransferError(f"{target.name} is not a plain file in the sandbox")
            target.parent.mkdir(parents=True, exist_ok=True)
            _write_file(archive, member, target, budget)
    except (tarfile.TarError, EOFError, OverflowError, UnicodeError) as error:
        raise TransferError(f"the sandbox sent no readable tar for {target.name}: {error}") from error


class _Budget:
    """What may still be written, in bytes."""

    def __init__(self, n_bytes: int) -> None:
        self.n_bytes = n_bytes

    def take(self, n_bytes: int) -> None:
        self.n_bytes -= n_bytes
        if self.n_bytes < 0:
            raise TransferError("more came out of the sandbox than one transfer may hold")


def _write_member(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path, budget: _Budget) -> bool:
    """Write one member. False where it is neither a plain file nor a folder."""
    if not (member.isfile() or member.isdir()):
        return False
    path = _below(target, member.name)
    if member.isdir():
        _make_folders(target, path)
        return True
    if path == target:
        raise TransferError(f"the sandbox sent a file in place of the folder {target.name}")
    _make_folders(target, path.parent)
    _write_file(archive, member, path, budget)
    return True


def _below(target: Path, name: str) -> Path:
    parts = [part for part in name.split("/") if part not in {"", "."}]
    if name.startswith("/") or ".." in parts or "\0" in name:
        raise TransferError(f"the sandbox sent a name that leads outside: {name[:100]!r}")
    return target.joinpath(*parts)


def _make_folders(target: Path, folder: Path) -> None:
    """Make `folder` and what lies between it and `target`; a link or file in the way is removed, never followed."""
    current = target
    for part in folder.relative_to(target).parts:
        current = current / part
        if current.is_symlink() or (current.exists() and not current.is_dir()):
            current.unlink()
        current.mkdir(exist_ok=True)


def _write_file(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path, budget: _Budget) -> None:
    _clear(path)
    source = archive.extractfile(member)
    if source is None:
        raise TransferError(f"the sandbox sent a file without content: {member.name[:100]!r}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
        while chunk := source.read(_CHUNK_BYTES):
            budget.take(len(chunk))
            file.write(chunk)
        os.fchmod(file.fileno(), 0o755 if member.mode & 0o100 else 0o644)


def _clear(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
