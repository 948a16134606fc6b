"""Writing a state package: whole and free of secrets, or not at all."""

import hashlib
import io
import os
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import zstandard

from trajgen_assets.core.atomic import open_atomic
from trajgen_assets.core.clock import stamp
from trajgen_assets.core.config.config import Config
from trajgen_assets.core.errors import PackageError, RequirementError, TrajgenError
from trajgen_assets.core.package.contents import Contents, collect
from trajgen_assets.core.package.form import BLOCK_BYTES, MANIFEST, Manifest, PackedFile
from trajgen_assets.core.paths import Root
from trajgen_assets.core.redact import Redactor

LEVEL = 3
# A secret that lies across two blocks is found in what they share.
OVERLAP_BYTES = 4096


def pack(
    root: Root,
    config: Config | None,
    file: Path,
    redactor: Redactor,
    *,
    jobs: Sequence[str] = (),
    logs: bool = False,
    dry_run: bool = False,
) -> Manifest:
    """Write the state of a root that is at rest into `file`, or with `dry_run` only say what would go there.

    Raises:
        PackageError: `file` is there already, a file changed meanwhile, is damaged, or holds a secret.
        RequirementError: there is no room.
    """
    if file.exists():
        raise PackageError("there is a file of that name", where=file, mend="choose another name")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=file.parent, prefix=".packing-") as drafts:
            contents = Contents(Path(drafts), redactor)
            collect(root, config, contents, jobs=jobs, logs=logs)
            manifest = _manifest(contents, jobs)
            if not dry_run:
                with open_atomic(file, mode=0o600) as output:
                    _write(output, manifest, contents)
            return manifest
    except TrajgenError:  # some are errors of the system, too
        raise
    except OSError as error:
        raise _not_written(file, error) from error


def _not_written(file: Path, error: OSError) -> RequirementError:
    mend = "give it room, or choose a place with room"
    if error.filename is not None and Path(error.filename) != file:
        mend = f"see that {error.filename} can be read, or {mend}"
    return RequirementError("the package cannot be written", where=file, why=error.strerror or error, mend=mend)


def _manifest(contents: Contents, jobs: Sequence[str]) -> Manifest:
    files = tuple(_packed(name, path, contents.redactor) for name, path in sorted(contents.files.items()))
    return Manifest(packed_at=stamp(), jobs=tuple(jobs), files=files, left=contents.left)


def _packed(name: str, path: Path, redactor: Redactor) -> PackedFile:
    digest, size_bytes = hashlib.sha256(), 0
    with path.open("rb") as file:
        for block in _blocks(file):
            digest.update(block)
            size_bytes += len(block)
    try:
        _refuse_secrets(name, path, redactor)
    except zstandard.ZstdError as error:
        mend = "restore the file, or leave its job out"
        what = "a file is damaged, so that nobody can tell what it holds, and nothing was packed"
        raise PackageError(what, where=name, why=error, mend=mend) from error
    return PackedFile(path=name, size_bytes=size_bytes, sha256=digest.hexdigest())


def _write(output: IO[bytes], manifest: Manifest, contents: Contents) -> None:
    compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)
    with (
        compressor.stream_writer(output, closefd=False) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        text = manifest.model_dump_json(indent=1).encode()
        tar.addfile(_member(MANIFEST, len(text)), io.BytesIO(text))
        for each in manifest.files:
            with contents.files[each.path].open("rb") as file:
                if os.fstat(file.fileno()).st_size != each.size_bytes:
                    raise _changed(each)
                reading = _Digesting(file)
                tar.addfile(_member(each.path, each.size_bytes), reading)
            if reading.digest.hexdigest() != each.sha256:
                raise _changed(each)


def _member(name: str, size_bytes: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size_bytes, 0o600
    return member


def _changed(packed: PackedFile) -> PackageError:
    mend = "end whatever writes to it, and pack again"
    return PackageError("a file changed while it was packed", where=packed.path, mend=mend)


class _Digesting:
    """Reads a file for tar, and digests what was read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.digest.update(data)
        return data


def _refuse_secrets(name: str, path: Path, redactor: Redactor) -> None:
    with path.open("rb") as raw:
        is_compressed = path.suffix == ".zst"
        file = zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True) if is_compressed else raw
        tail = b""
        for block in _blocks(file):
            data = tail + block
            if redactor.is_in(data) and redactor.finds(data.decode("utf-8", "surrogateescape")):
                mend = "take it out of the file, and change the secret where others could have read it"
                raise PackageError("a file holds a secret, so nothing was packed", where=name, mend=mend)
            tail = data[-OVERLAP_BYTES:]


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    while block := file.read(BLOCK_BYTES):
        yield block
