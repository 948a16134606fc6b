"""A patch in lines that say what they are, so that nobody has to tell them apart by colour."""

from collections.abc import Iterator
from dataclasses import dataclass

MAX_LINES = 4000
MAX_CHARS = 2000


@dataclass(frozen=True, slots=True)
class DiffLine:
    """One line: `kind` is `file`, `hunk`, `added`, `removed` or `context`."""

    kind: str
    text: str


def diff_lines(diff: str) -> list[DiffLine]:
    """Return the lines of a git diff, the longest cut, and no more than a reader could want."""
    lines = list(_lines(diff))
    more = [DiffLine("hunk", f"… {len(lines) - MAX_LINES} lines more")] if len(lines) > MAX_LINES else []
    return lines[:MAX_LINES] + more


def _lines(diff: str) -> Iterator[DiffLine]:
    in_hunk = False
    for line in diff.split("\n"):
        if line.startswith("diff --git "):
            in_hunk = False
        elif line.startswith("@@ "):
            in_hunk = True
        yield DiffLine(_kind(line, in_hunk=in_hunk), _short(line))


def _kind(line: str, *, in_hunk: bool) -> str:
    if line.startswith("@@ "):
        return "hunk"
    if not in_hunk:
        return "file"
    return {"+": "added", "-": "removed"}.get(line[:1], "context")


def _short(line: str) -> str:
    return line if len(line) <= MAX_CHARS else f"{line[:MAX_CHARS]}… {len(line) - MAX_CHARS} characters more"
