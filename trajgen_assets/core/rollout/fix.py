"""What a task's own fix changes, kept so that a final patch can be held against it when the task is gone."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

FIX = Path("solution", "fix.patch")
LARGEST_BYTES = 4 << 20

_HUNK = re.compile(rb"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")


class FixRecord(BaseModel):
    """The lines that a patch adds and removes, by file. No text of it is kept."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    n_lines: int = Field(ge=0, description="Lines added and removed that are not blank.")
    files: dict[str, str] = Field(description="Path to the SHA-256 of its added and removed lines, in order.")

    def is_in(self, diff: bytes) -> bool:
        """Whether `diff` changes each of these files in the same way, whatever else it changes."""
        return self.files.items() <= changed_lines(diff).files.items()


def fix_of(task_folder: Path) -> FixRecord | None:
    """Return what the fix of a task changes; None where it has none, or one that is too large or cannot be read."""
    path = task_folder / FIX
    try:
        return changed_lines(path.read_bytes()) if path.stat().st_size <= LARGEST_BYTES else None
    except OSError:
        return None


def changed_lines(diff: bytes) -> FixRecord:
    """Return what a unified diff changes: spaces at the end of lines, blank lines, and places do not count."""
    digests: dict[str, hashlib._Hash] = {}
    n_lines = 0
    for path, line in _changes(diff.splitlines()):
        digests.setdefault(path, hashlib.sha256()).update(line.rstrip() + b"\n")
        n_lines += 1
    return FixRecord(n_lines=n_lines, files={path: digest.hexdigest() for path, digest in digests.items()})


def _changes(lines: list[bytes]) -> Iterator[tuple[str, bytes]]:
    """Yield each changed line with its file. Within a hunk, `--- x` is a removed line and no header."""
    path, n_old, n_new = "", 0, 0
    for line in lines:
        sign = line[:1]
        if n_old > 0 or n_new > 0:
            n_old -= sign in (b" ", b"-", b"")
            n_new -= sign in (b" ", b"+", b"")
            if sign in (b"-", b"+") and line[1:].strip():
                yield path, line
        elif found := _HUNK.match(line):
            n_old, n_new = (int(n) if n is not None else 1 for n in found.groups())
        elif line.startswith((b"--- ", b"+++ ")) and not line[4:].startswith(b"/dev/null"):
            path = _path(line[4:])


def _path(header: bytes) -> str:
    name = header.split(b"\t")[0].strip().decode(errors="replace")
    return name.partition("/")[2] if name.startswith(("a/", "b/")) else name
