"""The site's folder: written file by file, each at once whole, and only where something is new.

What links to a page is written after it, and a page that is no more is taken away last, so whoever reads meanwhile
follows no link into nothing. `.site.json` in the folder says which files are ours and what they were made from: a part
whose inputs and files stand is not made again, and what others put beside our files is left alone.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain, takewhile
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from trajgen_assets.core import atomic
from trajgen_assets.core.dashboard.render import SiteFile
from trajgen_assets.core.errors import DashboardError

MARK = ".site.json"
OURS = ("data", "datasets", "jobs", "side", "static")  # folders of a site in which nobody else keeps anything


@dataclass(frozen=True)
class Part:
    """Files of the site that are made together, from `inputs`: equal inputs give equal files.

    Attributes:
        name: unique within the site.
        inputs: a digest of all that the files show; None where only making them tells.
    """

    name: str
    inputs: str | None
    make: Callable[[], Iterable[SiteFile]]


class Written(NamedTuple):
    """A file as it was written: the digest of its content, and by what it is known again without reading it."""

    sha256: str
    size_bytes: int
    mtime_ns: int


class PartMade(BaseModel):
    """The files of a part, by path, and what they were made from."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    inputs: str | None
    files: dict[str, Written]


class SiteRecord(BaseModel):
    """`.site.json`, schema 1."""

    model_config = ConfigDict(strict=True, extra="forbid")

    schema_version: Literal[1] = 1
    parts: dict[str, PartMade] = {}


@dataclass
class SiteReport:
    """What a build did: files of the site, and how many of them were written or taken away."""

    folder: Path
    n_files: int = 0
    n_written: int = 0
    n_removed: int = 0
    size_bytes: int = 0
    parts_made: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        return bool(self.n_written or self.n_removed)


def write_site(folder: Path, parts: Iterable[Part], stamp: Callable[[str], SiteFile] | None = None) -> SiteReport:
    """Make `folder` hold the files of `parts`, in their order, and no other file of an earlier build.

    `stamp` makes one more file, of the digest of all others, when that is another than before.

    Raises:
        DashboardError: the folder holds something and is no site of ours; or two parts make the same file.
        OSError: a file cannot be written. Those before it are whole, and the next build goes on from there.
    """
    before = _read_record(folder)
    if not (folder / MARK).exists():  # whoever dies from here on has left a dashboard, if half of one
        _write_record(folder, before)
    record, report = SiteRecord(), SiteReport(folder)
    owner: dict[str, str] = {}
    try:
        for part in chain(parts, _stamp_part(record, stamp)):
            made = _standing(folder, part, before) or _make(folder, part, before, report)
            for path in made.files:
                if owner.setdefault(path, part.name) != part.name:
                    raise DashboardError("two parts of the dashboard make one file", where=path, why=part.name)
            record.parts[part.name] = made
    except BaseException:  # what lies there stays known as ours
        _write_record(folder, SiteRecord(parts=before.parts | record.parts))
        raise
    _remove_stale(folder, before, owner, report)
    if record != before:
        _write_record(folder, record)
    files = [each for made in record.parts.values() for each in made.files.values()]
    report.n_files, report.size_bytes = len(files), sum(each.size_bytes for each in files)
    return report


def _stamp_part(record: SiteRecord, stamp: Callable[[str], SiteFile] | None) -> Iterator[Part]:
    """The last part, which is about all the others: so it is asked for when they stand in `record`."""
    if stamp is not None:
        files = sorted((path, file.sha256) for made in record.parts.values() for path, file in made.files.items())
        digest = hashlib.sha256(repr(files).encode()).hexdigest()
        yield Part("stamp", digest, lambda: [stamp(digest)])


def _standing(folder: Path, part: Part, before: SiteRecord) -> PartMade | None:
    made = before.parts.get(part.name)
    if made is None or part.inputs is None or made.inputs != part.inputs:
        return None
    top = f"{folder}/"  # a Path for each of ten thousands of files would take longer than looking at them
    return made if all(_is_still(top + path, written) for path, written in made.files.items()) else None


def _make(folder: Path, part: Part, before: SiteRecord, report: SiteReport) -> PartMade:
    report.parts_made.append(part.name)
    known = before.parts[part.name].files if part.name in before.parts else {}
    files = {each.path: _put(folder / each.path, each.data, known.get(each.path), report) for each in part.make()}
    return PartMade(inputs=part.inputs, files=files)


def _put(path: Path, data: bytes, known: Written | None, report: SiteReport) -> Written:
    digest = hashlib.sha256(data).hexdigest()
    if known is not None and known.sha256 == digest and _is_still(path, known):
        return known
    _replace(path, data)
    report.n_written += 1
    return Written(sha256=digest, size_bytes=len(data), mtime_ns=path.stat().st_mtime_ns)


def _is_still(path: Path | str, written: Written) -> bool:
    try:
        found = os.stat(path)  # noqa: PTH116  see `_standing`
    except (FileNotFoundError, NotADirectoryError):
        return False
    return found.st_size == written.size_bytes and found.st_mtime_ns == written.mtime_ns


def _replace(path: Path, data: bytes) -> None:
    """Put `data` at `path` at once, but not durably: syncing ten thousand pages takes minutes, making them seconds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fd, temp_name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.", suffix=".tmp")
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            os.fchmod(file.fileno(), 0o644)
        os.replace(temp_name, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temp_name)
        raise


def _remove_stale(folder: Path, before: SiteRecord, kept: Collection[str], report: SiteReport) -> None:
    """Take away what an earlier build wrote, or began to write, and this one did not."""
    known = {path for made in before.parts.values() for path in made.files}
    for path in sorted((known | set(_files_of_ours(folder))) - set(kept)):
        with suppress(FileNotFoundError):
            (folder / path).unlink()
            report.n_removed += 1
        for parent in takewhile(folder.__ne__, (folder / path).parents):
            try:
                parent.rmdir()
            except OSError:  # something is in it
                break


def _files_of_ours(folder: Path) -> Iterator[str]:
    for top in OURS:
        for parent, _, names in os.walk(folder / top):
            below = os.path.relpath(parent, folder)
            yield from (f"{below}/{name}" for name in names)


def _read_record(folder: Path) -> SiteRecord:
    """What an earlier build left; nothing where there was none.

    A record that cannot be read says nothing, and the site is made anew over what lies there.
    """
    try:
        return SiteRecord.model_validate_json((folder / MARK).read_bytes())
    except ValidationError:
        return SiteRecord()
    except FileNotFoundError:
        if folder.is_dir() and any(folder.iterdir()):
            mend = "name a folder that is not there yet, that is empty, or that holds a dashboard"
            raise DashboardError("the folder holds something else than a dashboard", where=folder, mend=mend) from None
        return SiteRecord()
    except NotADirectoryError:
        raise DashboardError("a file is in the place of a folder", where=folder, mend="name a folder") from None


def _write_record(folder: Path, record: SiteRecord) -> None:
    atomic.write_bytes(folder / MARK, record.model_dump_json().encode() + b"\n")
