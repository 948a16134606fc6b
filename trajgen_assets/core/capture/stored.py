"""A trajectory as it lies on disk: plain, or compressed under the same name with `.zst`. Only this module knows which.

All else names the plain file. While that is there it counts, whatever lies beside it: it is taken away only when the
compressed one is durable and was read back. Digests and sizes are those of the plain content.
"""

import hashlib
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zstandard

from trajgen_assets.core.atomic import fsync_dir, open_atomic
from trajgen_assets.core.faults import reached

SUFFIX = ".zst"
UNREADABLE = "unreadable"
LEVEL = 3
BLOCK_BYTES = 1 << 20
FRAME_HEADER_BYTES = 18  # at most

# Each record repeats the one before it, so that the window has to reach over a record. Up to 2 MiB is what the level
# has by itself, and 128 MiB is the widest that `zstd -d` takes without being asked.
LEAST_WINDOW_LOG, WIDEST_WINDOW_LOG = 21, 27


def compressed_name(path: Path) -> Path:
    """Where the trajectory `path` lies when it is compressed."""
    return path.with_name(path.name + SUFFIX)


def stored(path: Path) -> Path | None:
    """The file that holds the trajectory `path`; None where neither form is there. A link is none."""
    return next((each for each in (path, compressed_name(path)) if each.is_file() and not each.is_symlink()), None)


@contextmanager
def opened(path: Path) -> Iterator[io.BufferedReader]:
    """Yield the plain content of the trajectory `path`. A compressed one can be sought in forwards only.

    Raises:
        FileNotFoundError: neither form is there.
        zstandard.ZstdError: while it is read: the compressed file is damaged.
    """
    try:
        raw = path.open("rb", buffering=0)
    except FileNotFoundError:
        with _opened_compressed(compressed_name(path)) as content:
            yield content
        return
    with raw:
        yield io.BufferedReader(raw, BLOCK_BYTES)  # many a line is far longer than the usual 8 KiB


def content_sha256(path: Path) -> str | None:
    """Digest of the content of the trajectory `path`; `UNREADABLE` where it is damaged, None where it is not there."""
    if stored(path) is None:
        return None
    try:
        with opened(path) as file:
            return _sha256(file)
    except zstandard.ZstdError:
        return UNREADABLE


def content_size_bytes(path: Path) -> int | None:
    """Size of the content of the trajectory `path`, without reading it; None where it is not there or does not say."""
    file = stored(path)
    if file == path:
        with suppress(FileNotFoundError):  # or it has just been compressed
            return path.stat().st_size
        file = stored(path)
    if file is None:
        return None
    with file.open("rb") as head:
        try:
            size = zstandard.frame_content_size(head.read(FRAME_HEADER_BYTES))
        except zstandard.ZstdError:
            return None
    return size if size >= 0 else None


def compress(path: Path) -> bool:
    """Put the compressed form in the place of the plain trajectory `path`; False where there is no plain file.

    Whenever this ends, at least one of the two is whole, and the next call goes on from there.

    Raises:
        OSError: the disk is full, or what was written cannot be read back. The plain file is as it was.
    """
    if not path.is_file() or path.is_symlink():
        return False
    with path.open("rb") as file:
        before = _measured(file)
        file.seek(0)
        _write_compressed(file, compressed_name(path), before)
        times = os.fstat(file.fileno())
    with _opened_compressed(compressed_name(path)) as content:
        after = _sha256(content)
    if after != before.sha256:
        raise OSError(f"{compressed_name(path)} is not what was written; {path.name} is kept")
    os.utime(compressed_name(path), ns=(times.st_atime_ns, times.st_mtime_ns))
    reached("before_plain_goes")
    path.unlink(missing_ok=True)
    fsync_dir(path.parent)
    return True


class _Content(io.RawIOBase):
    """What a zstandard reader gives, as a raw file that Python's buffered reader takes. Seeks forwards only."""

    def __init__(self, reader: zstandard.ZstdDecompressionReader) -> None:
        self._reader = reader

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._reader.readinto(buffer)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._reader.seek(offset, whence)

    def tell(self) -> int:
        return self._reader.tell()


@dataclass(frozen=True)
class _Measure:
    """Digest and size of a content, and its longest line; in bytes."""

    sha256: str
    size: int
    longest_line: int


@contextmanager
def _opened_compressed(path: Path) -> Iterator[io.BufferedReader]:
    unpack = zstandard.ZstdDecompressor(max_window_size=1 << WIDEST_WINDOW_LOG)
    with path.open("rb") as file, unpack.stream_reader(file, read_size=BLOCK_BYTES) as reader:
        yield io.BufferedReader(_Content(reader), BLOCK_BYTES)


def _sha256(content: io.BufferedReader) -> str:
    return hashlib.file_digest(content, "sha256").hexdigest()


def _measured(content: io.BufferedReader) -> _Measure:
    digest, size, longest_line = hashlib.sha256(), 0, 0
    for line in content:
        digest.update(line)
        size += len(line)
        longest_line = max(longest_line, len(line))
    return _Measure(digest.hexdigest(), size, longest_line)


def _write_compressed(content: io.BufferedReader, target: Path, measure: _Measure) -> None:
    pack = zstandard.ZstdCompressor(compression_params=_parameters(measure))
    with open_atomic(target) as file:
        pack.copy_stream(content, file, size=measure.size, read_size=BLOCK_BYTES)


def _parameters(measure: _Measure) -> zstandard.ZstdCompressionParameters:
    reach = min(measure.size, 2 * measure.longest_line).bit_length()
    return zstandard.ZstdCompressionParameters.from_level(
        LEVEL,
        source_size=measure.size,
        window_log=min(max(reach, LEAST_WINDOW_LOG), WIDEST_WINDOW_LOG),
        enable_ldm=reach > LEAST_WINDOW_LOG,
        write_content_size=True,
        write_checksum=True,
    )
