"""A file to which another process appends lines, read on from where the last look ended."""

from dataclasses import dataclass
from pathlib import Path


@dataclass
class GrowingFile:
    """Holds how far it was read. A line without its newline is left for the next look."""

    path: Path
    _offset: int = 0

    def read(self) -> bytes:
        """The whole lines since the last call; nothing where there is no file yet."""
        try:
            if self.path.stat().st_size == self._offset:
                return b""
            with self.path.open("rb") as file:
                file.seek(self._offset)
                chunk = file.read()
        except FileNotFoundError:
            return b""
        whole = chunk[: chunk.rfind(b"\n") + 1]
        self._offset += len(whole)
        return whole
