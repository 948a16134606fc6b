"""Versions of training data that later conversions have replaced, and that no data set was made of."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from trajgen_assets.core.errors import ConversionError
from trajgen_assets.core.paths import Root
from trajgen_assets.core.sft.data_sets.receipt import load_data_set
from trajgen_assets.core.sft.making import is_data_being_made, making_data
from trajgen_assets.core.sft.receipt import SftPaths, sha256_file
from trajgen_assets.core.sft.versions import Versions


@dataclass(frozen=True)
class Superseded:
    """What may go of one job or data set, and what stays though it is not the current version, with the reason."""

    job: str
    folders: tuple[Path, ...]
    kept: dict[str, str]

    @property
    def size_bytes(self) -> int:
        """What the folders hold; a file that a version that stays has, too, is counted and gives no room."""
        return sum(file.stat().st_size for folder in self.folders for file in folder.iterdir())

    def delete(self, root: Root) -> None:
        """Delete the folders. One whose deletion is cut short is no version any more, and goes with the next.

        One that a conversion has made the current version meanwhile stays.
        """
        with making_data(root, self.job):
            superseded = Versions.of(root.sft_data / self.job).superseded()
            for folder in (each for each in self.folders if each in superseded):
                shutil.rmtree(folder.rename(folder.with_name(f".{folder.name}")))


def superseded_versions(root: Root, *, older_than: timedelta) -> Iterator[Superseded]:
    """Yield the jobs, and data sets, with versions that are not current, if they ended, or were built, so long ago.

    Raises:
        ConversionError: a receipt cannot be read, so that nobody can tell which versions a data set was made of.
    """
    in_use = rows_of_data_sets(root)
    before = datetime.now(UTC) - older_than
    for place in sorted(root.sft_data.glob("*")):
        ended_at = _ended_at(root, place)
        is_old = ended_at is not None and ended_at <= before
        if is_old and not is_data_being_made(root, place.name) and (older := Versions.of(place).superseded()):
            reasons = {folder: why_kept(folder, in_use.get(place.name, set())) for folder in older}
            kept = {folder.name: why for folder, why in reasons.items() if why is not None}
            yield Superseded(place.name, tuple(folder for folder, why in reasons.items() if why is None), kept)


def _ended_at(root: Root, place: Path) -> datetime | None:
    """When the last trial of a job ended, or a data set was built last; None where neither is told."""
    trials = root.job(place.name).trials
    if trials.exists():
        return datetime.fromtimestamp(trials.stat().st_mtime, UTC)
    if load_data_set(place) is not None:
        return datetime.fromtimestamp(SftPaths(place).receipt.stat().st_mtime, UTC)
    return None


def why_kept(folder: Path, rows_in_use: set[str]) -> str | None:
    """Return why a version has to stay though it can be made again, or is not current; None if it may go."""
    files = {path.name for path in folder.iterdir()}
    recorded = _json(SftPaths(folder).receipt)
    steps = [step for step in recorded.values() if isinstance(step, dict)]
    named = {name for step in steps for name in step.get("files", {})} | SftPaths(folder).names
    if others := sorted(files - named):
        return f"it holds {others[0]}, which no conversion wrote"
    return "a data set was made of it" if _rows(folder, recorded) in rows_in_use else None


def _rows(folder: Path, recorded: dict[str, Any]) -> str | None:
    """The digest of the IM rows of a version, as recorded or else as they are."""
    im = SftPaths(folder).im
    try:
        return str(recorded["sft_im"]["files"][im.name]["sha256"])
    except (KeyError, TypeError):
        return sha256_file(im) if im.is_file() else None


def rows_of_data_sets(root: Root) -> dict[str, set[str]]:
    """The digests of the IM rows that data sets were made of, by job; also of versions of theirs that still stand."""
    found: dict[str, set[str]] = {}
    for place in root.sft_data.glob("*"):
        for receipt in [place / "receipt.json", *Versions.of(place).folder.glob("*/receipt.json")]:
            for job, rows in _parts(receipt):
                found.setdefault(job, set()).add(rows)
    return found


def _parts(receipt: Path) -> list[tuple[str, str]]:
    """Job and digest of its rows, of each job that a data set was made of; none for the receipt of a job."""
    try:
        return [(part["job"], part["im"]["sha256"]) for part in _json(receipt).get("jobs", ())]
    except (KeyError, TypeError) as error:
        raise _unreadable(receipt) from error


def _json(receipt: Path) -> dict[str, Any]:
    """Read a receipt of whatever version; it is empty where there is none."""
    try:
        content = json.loads(receipt.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise _unreadable(receipt) from error
    return content if isinstance(content, dict) else {}


def _unreadable(receipt: Path) -> ConversionError:
    mend = "restore it, or delete its folder if it may go"
    return ConversionError("a receipt cannot be read, so nothing is deleted", where=receipt, mend=mend)
