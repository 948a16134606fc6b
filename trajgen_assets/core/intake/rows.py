"""Rows of a JSONL file as tasks, as the Multi-SWE-bench harness of OpenHands takes them.

The path of a row is `<file>.jsonl/<instance id>`, which no folder can have. What is staged is a folder with the row
(`row.jsonl`, canonical JSON) and what the rest of the program reads of any task: `instruction.md` and `task.toml`.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import tomli_w

from trajgen_assets.core.errors import TaskError
from trajgen_assets.core.intake.digest import UnusableTreeError, task_digest
from trajgen_assets.core.keys import is_safe_name

SUFFIX = ".jsonl"
ROW_NAME = "row.jsonl"
ID = "instance_id"
# What run_infer reads of a row beside its id. The two lists of tests may be left out: it is then given empty ones.
TEXT_COLUMNS = ("repo", "base_commit", "problem_statement")
TEST_COLUMNS = ("FAIL_TO_PASS", "PASS_TO_PASS")

_VERSION = b"row-digest-1\n"
_MAX_METADATA_LENGTH = 200
_SURROGATE = re.compile("[\ud800-\udfff]")

Row = dict[str, Any]


@dataclass(frozen=True)
class RowFacts:
    """What is known of a row, and what keeps it from being rolled out.

    Attributes:
        missing: the row itself, or columns that it lacks.
        refused: what is there and cannot be used.
        row: as it stands in the file; empty where it cannot be read.
    """

    missing: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    row: Row = field(default_factory=dict)

    @property
    def instruction(self) -> str:
        return str(self.row.get("problem_statement") or "")

    @property
    def metadata(self) -> dict[str, Any]:
        """Its short values: the repository, the commit, the language and their like."""
        return {name: value for name, value in self.row.items() if _is_short(value)}


def is_row(path: Path) -> bool:
    """Whether `path` names a row: it leads below a JSONL file."""
    return path.parent.suffix == SUFFIX and path.parent.is_file()


def is_staged_row(folder: Path) -> bool:
    """Whether `folder` is a row as it is staged."""
    return (folder / ROW_NAME).is_file()


def id_in(line: str) -> str:
    """The id of the row that a line holds; empty for a blank line.

    Raises:
        ValueError: it holds no row, or the row has no id.
    """
    if not line.strip():
        return ""
    found = _parsed(line).get(ID)
    if not isinstance(found, str) or not found.strip():
        raise ValueError(f"its {ID} is {'missing or empty' if not found else 'no text'}")
    return found.strip()


def look_at_row(path: Path) -> RowFacts:
    """What is known of the row at `path`, in its file or as it is staged. Nothing is raised."""
    try:
        row = read_row(path)
    except FileNotFoundError:
        return RowFacts(missing=("the row",))
    except (OSError, TaskError) as error:
        return RowFacts(refused=(error.what if isinstance(error, TaskError) else f"cannot be read: {error.strerror}",))
    return RowFacts(tuple(_lacking(row)), tuple(_unusable(row)), row)


def read_row(path: Path) -> Row:
    """The row at `path`, in its file or as it is staged.

    Raises:
        FileNotFoundError: its file has no such row.
        TaskError: it has several, or what it has is no row.
        OSError: the file cannot be read.
    """
    if is_row(path):
        return _of_file(path)
    text = (path / ROW_NAME).read_text(encoding="utf-8")
    try:
        return _parsed(text)
    except ValueError as error:
        raise TaskError(f"{ROW_NAME} holds no row", where=path, why=error) from error


def row_digest(row: Row) -> str:
    """The digest of a row, sha256 over its canonical JSON: the order of columns and blanks do not count."""
    return hashlib.sha256(_VERSION + canonical(row).encode()).hexdigest()


def canonical(row: Row) -> str:
    """The row as one line of JSON, equal for equal rows."""
    return json.dumps(row, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def content_digest(path: Path) -> str:
    """The digest of a task: of a row, in its file or as it is staged, or of a folder.

    Raises:
        OSError, TaskError, UnusableTreeError: it cannot be read, or is not as it was staged.
    """
    if is_row(path):
        return row_digest(read_row(path))
    if not is_staged_row(path):
        return task_digest(path)
    row = read_row(path)
    if {each.name: each.read_bytes() for each in path.iterdir()} != _files(row):
        raise UnusableTreeError(f"not as the row was staged: {path}")
    return row_digest(row)


def write_staged_row(path: Path, folder: Path) -> None:
    """Write the row at `path` to the new folder `folder`. Raises as `read_row` does."""
    files = _files(read_row(path))
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)


def _files(row: Row) -> dict[str, bytes]:
    facts = RowFacts(row=row)
    texts = {
        ROW_NAME: f"{canonical(row)}\n",
        "instruction.md": facts.instruction,
        "task.toml": tomli_w.dumps({"metadata": dict(sorted(facts.metadata.items()))}),
    }
    return {name: text.encode() for name, text in texts.items()}


def _is_short(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= _MAX_METADATA_LENGTH and value.isprintable()
    return isinstance(value, bool) or (isinstance(value, int) and abs(value) < 2**63) or isinstance(value, float)


def _lacking(row: Row) -> Iterator[str]:
    yield from (f"column {name}" for name in (*TEXT_COLUMNS, "version") if row.get(name) in (None, ""))


def _unusable(row: Row) -> Iterator[str]:
    task_id = row.get(ID)
    if not isinstance(task_id, str) or not is_safe_name(task_id):  # a comma would be read as two ids of SKIP_IDS
        yield f"{str(task_id)[:80]!r} is no task id: letters, digits, '.', '_', '+', '-'"
    for name in TEXT_COLUMNS:
        if row.get(name) is not None and not isinstance(row[name], str):
            yield f"column {name} is no text"
    if isinstance(repo := row.get("repo"), str) and repo and not _is_owner_and_name(repo):
        yield f"column repo is {repo[:80]!r} and not owner/name"
    if not isinstance(row.get("version"), str | int | float | None):
        yield "column version is neither text nor number"
    for name in TEST_COLUMNS:
        if not isinstance(row.get(name), list | str | None):
            yield f"column {name} is no list"


def _is_owner_and_name(repo: str) -> bool:
    owner, slash, name = repo.partition("/")
    return bool(owner and slash and name) and "/" not in name


def _of_file(path: Path) -> Row:
    file, wanted = path.parent, path.name
    status = file.stat()
    index = _index_of(file, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    places = index.get(wanted, ())
    if not places:
        raise FileNotFoundError(f"{file} has no row {wanted}")
    if len(places) > 1:
        lines = ", ".join(str(place.line) for place in places)
        raise TaskError(f"the rows at lines {lines} have one id", where=file, mend="remove all but one")
    (place,) = places
    with file.open("rb") as rows:
        rows.seek(place.offset)
        text = rows.read(place.size_bytes).decode("utf-8", "replace")
    try:
        row = _parsed(text)
    except ValueError as error:
        raise TaskError("the rows change while they are read", where=file, why=error) from error
    if str(row.get(ID)).strip() != wanted:
        raise TaskError("the rows change while they are read", where=file, mend="try again when their writer is done")
    return row | {ID: wanted}


@dataclass(frozen=True)
class _Place:
    line: int
    offset: int
    size_bytes: int


@lru_cache(maxsize=8)
def _index_of(file: Path, *_identity: int) -> dict[str, tuple[_Place, ...]]:
    """Where the row of each id lies. Lines that hold no row are left out: the manifest's reading names them."""
    found: dict[str, tuple[_Place, ...]] = {}
    offset = 0
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                task_id = id_in(line.decode("utf-8"))
            except ValueError:  # of which a wrong encoding is one
                task_id = ""
            if task_id:
                found[task_id] = (*found.get(task_id, ()), _Place(number, offset, len(line)))
            offset += len(line)
    return found


def _parsed(text: str) -> Row:
    try:
        row = json.loads(text, parse_constant=_finite, parse_float=_finite)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON: {error.msg} at character {error.pos + 1}") from error
    if not isinstance(row, dict):
        raise ValueError("it is no JSON object")
    if "\\ud" in text.lower() and _SURROGATE.search(canonical(row)):  # two escapes that belong together are one sign
        raise ValueError("it holds one half of a pair of surrogates, which is no text")
    return row


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"it holds {text[:40]}, which is no finite number")
    return number
