"""Archives of tasks that somebody else packed: unpacked with files and folders only, or refused with nothing left."""

import gzip
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import IO, Any, cast

from trajgen_assets.core.errors import DownloadError
from trajgen_assets.core.intake.remote.names import Inventory
from trajgen_assets.core.intake.remote.remote import Limits

_CHUNK_SIZE_BYTES = 1 << 20
# tar fills its last record; a writer with large ones fills up to that much.
_MAX_PADDING_BYTES = 64 << 20
# Damage, in the words of whichever library meets it. Full disks and files that cannot be read are not of them.
_DAMAGED = (
    tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError,
    NotImplementedError, ValueError,
)  # fmt: skip
_MEND = "have it packed again from plain files and folders, or unpack it where it can do no harm"


@dataclass(frozen=True)
class _Member:
    """One entry: a folder, a file that can be read, or `refused` for what it is."""

    name: str
    size_bytes: int = 0
    is_folder: bool = False
    is_executable: bool = False
    refused: str | None = None
    read: Any = None  # opens the file


def unpack(archive: Path, folder: Path, limits: Limits) -> None:
    """Unpack `archive` into the new `folder`, or leave no `folder`.

    Of modes only the owner's execute bit is kept, of owners and times nothing. Links of any kind, devices, paths that
    lead elsewhere, names that are one on some disk, and more than `limits` are refused by the member's name. No file
    gets more bytes than the archive announces for it.

    Raises:
        DownloadError: it holds what is refused, is damaged, or is no archive.
        OSError: it cannot be read, or the disk is full.
    """
    folder.mkdir(parents=True)
    try:
        inventory = Inventory(limits)
        for member in _members(archive):
            _place(member, archive, folder, inventory)
    except _DAMAGED as error:
        rmtree(folder)
        if isinstance(error, DownloadError):
            raise
        raise DownloadError("the archive cannot be unpacked", where=archive.name, why=error, mend=_MEND) from error
    except BaseException:
        rmtree(folder)
        raise


def _place(member: _Member, archive: Path, folder: Path, inventory: Inventory) -> None:
    name = member.name.removeprefix("./")
    if member.is_folder:
        name = name.rstrip("/")
        taken = inventory.take_folder(name) if name not in ("", ".") else None
    else:
        taken = inventory.take_file(name, member.size_bytes)
    if problem := member.refused or taken:
        raise _refusal(archive, member.name, problem)
    target = folder / name
    (target if member.is_folder else target.parent).mkdir(parents=True, exist_ok=True)
    if member.is_folder:
        return
    with member.read() as source, target.open("xb") as file:
        if _copy(source, file, at_most=member.size_bytes) != member.size_bytes:
            raise _refusal(archive, member.name, f"has not the {member.size_bytes} bytes that are announced")
    target.chmod(0o755 if member.is_executable else 0o644)


def _copy(source: IO[bytes], file: IO[bytes], *, at_most: int) -> int:
    """Copy a file; returns its size, or more than `at_most` as soon as that is clear."""
    n_copied = 0
    while n_copied <= at_most and (chunk := source.read(_CHUNK_SIZE_BYTES)):
        n_copied += len(chunk)
        file.write(chunk)
    return n_copied


def _refusal(archive: Path, name: str, problem: str) -> DownloadError:
    return DownloadError("the archive is refused", where=archive.name, why=f"{name[:300]!r} {problem}", mend=_MEND)


def _members(archive: Path) -> Iterator[_Member]:
    return _of_zip(archive) if archive.suffix.lower() == ".zip" else _of_tar(archive)


def _of_tar(archive: Path) -> Iterator[_Member]:
    with tarfile.open(archive, errorlevel=2) as tar:
        for each in tar:
            yield _Member(
                each.name,
                each.size,
                is_folder=each.isdir(),
                is_executable=bool(each.mode & stat.S_IXUSR),
                refused=_kind_of_tar(each),
                read=lambda each=each: tar.extractfile(each),
            )
            cast(Any, tar).members = []  # a million of them need not stay in memory
        _read_to_the_end(cast(IO[bytes], tar.fileobj))


def _read_to_the_end(file: IO[bytes]) -> None:
    """The checksum of a compressed tar comes last, and is compared only by who reads up to it."""
    n_read = 0
    while chunk := file.read(_CHUNK_SIZE_BYTES):
        n_read += len(chunk)
        if n_read > _MAX_PADDING_BYTES:
            raise tarfile.ReadError("more follows behind its end")


def _kind_of_tar(member: tarfile.TarInfo) -> str | None:
    if member.issym():
        return f"is a link to {member.linkname[:200]!r}"
    if member.islnk():
        return f"is a hard link to {member.linkname[:200]!r}"
    if member.isdir() or (member.isreg() and not member.issparse()):
        return None
    return "is a file with holes" if member.issparse() else "is a device, a pipe, or of an unknown kind"


def _of_zip(archive: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as packed:
        for each in packed.infolist():
            mode = each.external_attr >> 16
            yield _Member(
                each.orig_filename,  # as it is written: the other is cut at a zero byte
                each.file_size,
                is_folder=each.is_dir(),
                is_executable=bool(mode & stat.S_IXUSR),
                refused=_kind_of_zip(each, mode),
                read=lambda each=each: packed.open(each),
            )


def _kind_of_zip(member: zipfile.ZipInfo, mode: int) -> str | None:
    kind = stat.S_IFMT(mode)
    if kind == stat.S_IFLNK:
        return "is a link"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR) or (kind == stat.S_IFDIR) > member.is_dir():
        return "is a device, a pipe, or of an unknown kind"
    return "is encrypted" if member.flag_bits & 1 else None
