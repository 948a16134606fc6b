"""A log file that a child process writes to by way of us, so that no secret it prints reaches the disk."""

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import IO

__all__ = ["RedactedLog"]

log = logging.getLogger(__name__)

READ_BYTES = 64 * 1024
MAX_LINE_BYTES = 256 * 1024
# More than any secret is long in any of its encodings: what may be the first half of one is cut off a long line.
MARGIN_CHARS = 16 * 1024
CUT_MARK = " [the rest of this line was left out]"


class RedactedLog:
    """A pipe whose lines a thread of ours appends to `path`, each without its secrets, until all writers are gone.

    Whatever happens to the file, the pipe is drained: a full disk must not block the child. A line over 256 KiB is
    cut there.

    Args:
        path: the file; it is made if it is missing.
        redact: takes the secrets out of a text of one line.

    Attributes:
        writer: the child's end. Close it here once the child has it.

    Raises:
        OSError: the file cannot be opened.
    """

    def __init__(self, path: Path, redact: Callable[[str], str]) -> None:
        self._path = path
        self._redact = redact
        self._file: IO[bytes] = path.open("ab", buffering=0)
        reader, writer = os.pipe()
        self.writer: IO[bytes] = os.fdopen(writer, "wb", buffering=0)
        self._n_lost = 0
        self._thread = Thread(target=self._copy, args=(reader,), name=f"copy to {path.name}", daemon=True)
        self._thread.start()

    def join(self, timeout_s: float) -> None:
        """Wait until the last line is in the file; no longer than `timeout_s` if somebody still holds the pipe."""
        self._thread.join(timeout_s)

    def _copy(self, reader: int) -> None:
        with os.fdopen(reader, "rb", buffering=0) as pipe, self._file:
            for line, is_whole in _lines(pipe):
                self._append(line, is_whole=is_whole)
        if self._n_lost:
            log.warning("%d lines could not be written to %s", self._n_lost, self._path)

    def _append(self, line: bytes, *, is_whole: bool) -> None:
        text = self._redact(line.decode("utf-8", "replace"))
        if not is_whole:
            text = text[:-MARGIN_CHARS] + CUT_MARK
        try:
            self._file.write(text.encode() + b"\n")
        except OSError:
            self._n_lost += 1


def _lines(pipe: IO[bytes]) -> Iterator[tuple[bytes, bool]]:
    """The lines of `pipe` without their ends, and whether each is whole: of a long one only the beginning is kept."""
    held, skipping = bytearray(), False
    while chunk := pipe.read(READ_BYTES):
        *ended, rest = chunk.split(b"\n")
        for part in ended:
            if not skipping:
                yield bytes(held + part), True
            held, skipping = bytearray(), False
        if not skipping:
            held += rest
        if len(held) > MAX_LINE_BYTES:
            yield bytes(held), False
            held, skipping = bytearray(), True
    if held:
        yield bytes(held), True
