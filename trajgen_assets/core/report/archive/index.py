"""The archive's index. The folders are the truth; `index.yaml` is made from them and mended from them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from trajgen_assets.core.atomic import write_text
from trajgen_assets.core.errors import ArchiveError
from trajgen_assets.core.ledger.view import quoted
from trajgen_assets.core.locks import locked
from trajgen_assets.core.paths import Root
from trajgen_assets.core.report.archive.models import RunMetadata, RunRow

RUN_ID = re.compile(r"run_(\d{3,})")
METADATA = "metadata.yaml"

_INDEX_VERSION = 1
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml, ten times as fast, where PyYAML has it


@dataclass(frozen=True)
class Runs:
    """Every entry of the archive, oldest first, and in what the index differed from it.

    Attributes:
        missing: entries that lie in the archive and that the index did not have.
        broken: why the index could not be read at all; None if it could.
        unreadable: entries whose `metadata.yaml` cannot be read, each with the reason. They are in no row.
    """

    rows: tuple[RunRow, ...]
    missing: tuple[str, ...] = ()
    broken: str | None = None
    unreadable: tuple[str, ...] = ()

    @property
    def is_behind(self) -> bool:
        """Whether `index.yaml` has to be written anew."""
        return bool(self.missing) or self.broken is not None

    @property
    def words(self) -> list[str]:
        """One line for each thing that is wrong."""
        broken = [f"index.yaml could not be read ({self.broken})"] if self.broken else []
        behind = [f"index.yaml lacked {', '.join(self.missing)}"] if self.missing and not self.broken else []
        return broken + behind + [f"an entry cannot be read: {each}" for each in self.unreadable]


def read_runs(root: Root) -> Runs:
    """The index, completed from the folders where it is behind or broken. Changes nothing."""
    rows, broken = _read_index(root.index)
    known = {row.id for row in rows}
    missing = [name for name in _folders(root) if name not in known]
    found, unreadable = [], []
    for name in missing:
        try:
            found.append(read_metadata(root.archives / name).row)
        except ArchiveError as error:
            unreadable.append(f"{name}: {error.why}")
    ordered = sorted([*rows, *found], key=lambda row: _number(row.id))
    return Runs(tuple(ordered), tuple(row.id for row in found), broken, tuple(unreadable))


def mend_index(root: Root) -> Runs:
    """As `read_runs`, and write the index anew where it was behind. One that could not be read is kept beside it.

    Raises:
        OSError: it cannot be written.
    """
    runs = read_runs(root)
    if not runs.is_behind:
        return runs
    with locked(root.archives / ".lock"):
        runs = read_runs(root)
        if runs.is_behind:
            write_index(root, runs, runs.rows)
    return runs


def write_index(root: Root, found: Runs, rows: Iterable[RunRow]) -> None:
    """Write `rows` as the index; `found` says whether there is a broken one, which is moved aside."""
    if found.broken is not None and root.index.exists():
        root.index.replace(root.index.with_name(f"{root.index.name}.broken"))
    ordered = sorted(rows, key=lambda row: _number(row.id))
    body = "".join(map(_entry, ordered))
    write_text(root.index, f"schema_version: {_INDEX_VERSION}\nruns:{'' if body else ' []'}\n{body}")


def read_metadata(folder: Path) -> RunMetadata:
    """The metadata of the entry in `folder`.

    Raises:
        ArchiveError: it is missing, or not one of ours.
    """
    path = folder / METADATA
    try:
        return RunMetadata.model_validate(yaml.load(path.read_bytes(), Loader=_LOADER))  # noqa: S506  a safe loader
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        why = f"{'.'.join(map(str, fault['loc'])) or 'the whole file'}: {fault['msg']}"
        raise _unreadable(path, why) from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise _unreadable(path, " ".join(str(error).split())) from error


def next_run_id(root: Root, rows: Iterable[RunRow]) -> str:
    """One more than the largest number that a folder or a row has."""
    names = [*(child.name for child in root.archives.iterdir()), *(row.id for row in rows)]
    return f"run_{max((_number(name) for name in names), default=0) + 1:03d}"


def _unreadable(path: Path, why: str) -> ArchiveError:
    mend = "put the file back from a copy, or move the entry's folder away"
    return ArchiveError("the metadata of an archive entry cannot be read", where=path, why=why, mend=mend)


def _read_index(path: Path) -> tuple[list[RunRow], str | None]:
    """The rows, and why there are none where there should be."""
    try:
        raw = yaml.load(path.read_bytes(), Loader=_LOADER)  # noqa: S506  a safe loader
        if not isinstance(raw, dict) or not isinstance(raw.get("runs"), list):
            return [], "it has no list `runs`"
        rows = [RunRow.model_validate(row) for row in raw["runs"]]
    except FileNotFoundError:
        return [], None
    except ValidationError as error:
        return [], f"an entry is not one of ours: {error.errors(include_url=False, include_input=False)[0]['msg']}"
    except (OSError, ValueError, yaml.YAMLError) as error:
        return [], " ".join(str(error).split())
    return rows, None


def _folders(root: Root) -> list[str]:
    try:
        return sorted((each.name for each in root.archives.iterdir() if RUN_ID.fullmatch(each.name)), key=_number)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _number(name: str) -> int:
    match = RUN_ID.fullmatch(name)
    return int(match[1]) if match else 0


def _entry(row: RunRow) -> str:
    """A row as YAML, written by hand: there may be ten thousand, and each job's end writes them all."""
    values = row.model_dump(exclude_none=True)
    lines = (f"{name}: {quoted(value) if isinstance(value, str) else repr(value)}" for name, value in values.items())
    return "- " + "\n  ".join(lines) + "\n"
