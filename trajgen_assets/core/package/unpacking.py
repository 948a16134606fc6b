"""Reading a state package: nothing outside of its folder, nothing but what it lists, and all of it or none.

Files are read into `.unpacking/` of the root and verified. Then what is there moves to its place, the ledger last:
until that is there no command takes the root for one, and the next unpacking begins anew.
"""

import hashlib
import json
import os
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import zstandard
from pydantic import ValidationError

from trajgen_assets.core.atomic import fsync_dir, write_json
from trajgen_assets.core.errors import BusyError, LedgerError, PackageError, RequirementError, TrajgenError
from trajgen_assets.core.faults import reached
from trajgen_assets.core.ledger.place import has_ledger
from trajgen_assets.core.ledger.store import open_ledger
from trajgen_assets.core.locks import locked_if_free
from trajgen_assets.core.package.form import (
    BLOCK_BYTES,
    LEDGER,
    MANIFEST,
    MAX_MANIFEST_BYTES,
    WINDOW_LOG,
    Manifest,
    PackedFile,
)
from trajgen_assets.core.paths import Root

AWAY = "trajectory left behind when the state was moved"
_FOLDER, _READY = ".unpacking", "ready.json"


def unpack(file: Path, root: Root) -> Manifest:
    """Make `root` from a package; it must have no ledger and nothing of what the package holds.

    Raises:
        PackageError: the file is no package, is damaged, or holds what no package does. Nothing of it is left.
        LedgerError: there is a ledger, or work of one.
        RequirementError: there is no room.
    """
    if has_ledger(root):
        mend = "unpack it elsewhere: `trajgen state unpack FILE --to ROOT`"
        raise LedgerError("there is a ledger already, which nothing replaces", where=root.ledger, mend=mend)
    with locked_if_free(root.locks / "unpacking") as lock:
        if lock is None:
            raise BusyError("another process unpacks there", where=root.path, mend="wait until that is done")
        place = root.path / _FOLDER
        try:
            _take_back(root, place)
            manifest = _read(file, place, root)
            reached("package_read")
            _mark_away(root, place, manifest)
            write_json(place / _READY, manifest.top)
            reached("package_ready")
            _move_in(root, place, manifest)
        except TrajgenError:  # some are errors of the system, too
            _give_up(root, place)
            raise
        except OSError as error:
            _give_up(root, place)
            mend = "make room or give access there, and unpack it again"
            why = error.strerror or error
            raise RequirementError("the package cannot be unpacked", where=root.path, why=why, mend=mend) from error
    return manifest


def read_manifest(file: Path) -> Manifest:
    """What a package says that it holds; nothing of the rest is read.

    Raises:
        PackageError: it is no package.
    """
    with _opened(file) as tar:
        return _first(tar, file)


def _take_back(root: Root, place: Path) -> None:
    """Remove what an unpacking that was killed has left: it is known by its list, and there is no ledger yet."""
    if (place / _READY).exists():
        for name in json.loads((place / _READY).read_bytes()):
            if not (place / name).exists() and (root.path / name).exists():
                path = root.path / name
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.rmtree(place, ignore_errors=True)


def _give_up(root: Root, place: Path) -> None:
    """Leave nothing of it, also where some of it has moved in; but what has a ledger is whole, and stays."""
    if has_ledger(root):
        shutil.rmtree(place, ignore_errors=True)
    else:
        _take_back(root, place)


def _read(file: Path, place: Path, root: Root) -> Manifest:
    with _opened(file) as tar:
        manifest = _first(tar, file)
        _refuse_taken(root, manifest)
        place.mkdir(parents=True)
        free = shutil.disk_usage(place).free
        if manifest.size_bytes > free:
            why = f"it takes {manifest.size_bytes:,} bytes, and {free:,} are free"
            mend = "make room, or unpack it elsewhere: `trajgen state unpack FILE --to ROOT`"
            raise RequirementError("there is no room for the package", where=root.path, why=why, mend=mend)
        wanted = {each.path: each for each in manifest.files}
        while (member := tar.next()) is not None:  # iterating would begin with the first again
            packed = wanted.pop(member.name, None)
            if packed is None or not member.isreg() or member.size != packed.size_bytes:
                raise _refused(file, f"{member.name[:200]!r} is not what its list says")
            _extract(tar, member, packed, place, file)
        if wanted:
            raise _refused(file, f"{next(iter(wanted))} is missing")
    return manifest


def _first(tar: tarfile.TarFile, file: Path) -> Manifest:
    member = tar.next()
    if member is None or member.name != MANIFEST or not member.isreg() or member.size > MAX_MANIFEST_BYTES:
        raise _refused(file, f"it does not begin with {MANIFEST}")
    source = tar.extractfile(member)
    try:
        manifest = Manifest.model_validate_json(source.read() if source else b"")
    except ValidationError as error:
        raise _refused(file, f"its list cannot be read: {error.errors()[0]['msg']}") from error
    names = [each.path for each in manifest.files]
    if len(set(names)) != len(names) or LEDGER not in names:
        raise _refused(file, "its list names a file twice, or no ledger")
    return manifest


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, packed: PackedFile, place: Path, file: Path) -> None:
    """Write one file. Its path is one of the list, which was checked, in a folder that only we have written to."""
    source, target = tar.extractfile(member), place / packed.path
    if source is None:
        raise _refused(file, f"{packed.path} has no content")
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with target.open("xb") as output:
        while block := source.read(BLOCK_BYTES):
            digest.update(block)
            output.write(block)
        output.flush()
        os.fsync(output.fileno())
    if digest.hexdigest() != packed.sha256:
        raise _refused(file, f"{packed.path} has another digest than its list says")


def _refuse_taken(root: Root, manifest: Manifest) -> None:
    taken = [name for name in manifest.top if (root.path / name).exists()]
    if taken:
        mend = "unpack it into a root that has none of it: `trajgen state unpack FILE --to ROOT`"
        raise LedgerError("work of another ledger lies here", where=root.path / taken[0], mend=mend)


def _mark_away(root: Root, place: Path, manifest: Manifest) -> None:
    """Note of each job that was not packed that its trajectories are not here: its tasks stay done."""
    with open_ledger(Root(place, root.env)) as ledger:
        here = {*manifest.jobs, *(each.job for each in ledger.removals())}
        for job in ledger.jobs():
            if job.state.is_over and job.name not in here and ledger.job_attempts(job.name):
                ledger.begin_removal(job.name, AWAY)
                ledger.finish_removal(job.name)
        ledger.check_balance()


def _move_in(root: Root, place: Path, manifest: Manifest) -> None:
    for name in manifest.top:
        (place / name).rename(root.path / name)
        reached("entry_moved")
    fsync_dir(root.path)
    shutil.rmtree(place)


@contextmanager
def _opened(file: Path) -> Iterator[tarfile.TarFile]:
    decompressor = zstandard.ZstdDecompressor(max_window_size=1 << WINDOW_LOG)
    try:
        with file.open("rb") as raw:
            content: IO[bytes] = decompressor.stream_reader(raw)
            with tarfile.open(fileobj=content, mode="r|") as tar:
                yield tar
    except PackageError:
        raise
    except FileNotFoundError as error:
        if error.filename != str(file):
            raise
        raise PackageError("there is no such file", where=file, mend="name what `trajgen state pack` wrote") from error
    except (tarfile.TarError, zstandard.ZstdError, EOFError, ValueError) as error:
        raise _refused(file, f"it is damaged: {error}") from error


def _refused(file: Path, why: str) -> PackageError:
    return PackageError("this is no state package that can be trusted", where=file, why=why, mend="pack it again")
