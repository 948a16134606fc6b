"""Manifests that grow: what the sensor reads of each at a tick, which folders it looks at, and what it remembers."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trajgen_assets.core.intake.manifest import Manifest, Mark, read_appended, read_manifest
from trajgen_assets.core.intake.registration import look_at
from trajgen_assets.core.intake.source import TaskSource
from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.ledger.models import ListedTask, ManifestSeen, TaskRow

# A tick may take 60 s in all before Dagster gives it up.
LOOK_S = 10.0
_N_SHOWN = 3
_N_PER_PAGE = 1000


class Seen(BaseModel):
    """One manifest as it was last registered.

    Attributes:
        path: the file.
        sha256: digest of all its bytes, hex.
        end: how far it was read.
        n_problems: lines that were not taken; `problems` are the first of them, in words.
        looked_to: position in the ledger of the last waiting task that was looked at again.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    path: str
    sha256: str
    end: Mark
    n_problems: int
    problems: tuple[str, ...]
    looked_to: int = 0


class Cursor(BaseModel):
    """What the sensor remembers from tick to tick. It saves work and decides nothing: losing it loses nothing.

    Attributes:
        manifests: by data set.
        view: what the published view was made of.
        standing: what `status.yaml` was made of.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    manifests: dict[str, Seen] = Field(default_factory=dict)
    view: str | None = None
    standing: str | None = None

    @classmethod
    def parse(cls, text: str | None) -> Self:
        """Read a cursor back; one of another shape is an empty one."""
        try:
            return cls.model_validate_json(text or "{}")
        except ValidationError:
            return cls()


@dataclass(frozen=True)
class Growth:
    """What a manifest came to at one tick. `pending` says which line waits for its writer, if one does."""

    source: TaskSource
    seen: Seen
    n_new: int
    has_changed: bool
    pending: str | None = None

    def waiting(self, ledger: Ledger, campaign: str) -> tuple[int, list[str]]:
        """How many lines and listed tasks cannot be rolled out yet, and the first of them in words."""
        rows = ledger.waiting(campaign, self.source.dataset, limit=_N_SHOWN)
        n_waiting = ledger.counts(campaign, self.source.dataset).waiting if rows else 0
        words = [*self.seen.problems, *(f"{row.task_id}: {row.ineligible_reason}" for row in rows)]
        return self.seen.n_problems + n_waiting, words[:_N_SHOWN]


def follow_manifest(ledger: Ledger, source: TaskSource, campaign: str, seen: Seen | None) -> Growth:
    """Register what the manifest of `source` lists: what was appended since `seen`, else all of it.

    Only what was appended is read if the file still begins with the bytes that were read then, and the ledger still
    has that reading for its last one. So a crash between ledger and cursor, a lost cursor, a ledger that was put back
    from a copy, and a registration by another process each lead to reading in full. The ids wait until somebody has
    looked at their folders.

    Raises:
        ManifestError: the manifest is missing or cannot be trusted. Nothing is concluded from it.
    """
    appended = _appended(ledger, source, campaign, seen)
    manifest = appended or read_manifest(source.manifest)
    # also the position: a last line that is taken after its rest leaves the bytes as they were
    has_changed = seen is None or (seen.sha256, seen.end.position) != (manifest.sha256, manifest.end.position)
    n_new = 0
    if has_changed or appended is None:
        on_record = ManifestSeen(str(source.manifest), manifest.sha256, manifest.end.n_entries)
        result = ledger.enlist(campaign, source.dataset, manifest.entries, on_record, whole=appended is None)
        n_new = len(result.new)
    remembered = _remembered(source, manifest, seen, is_whole=appended is None)
    return Growth(source, remembered, n_new, has_changed, manifest.pending_words)


def _appended(ledger: Ledger, source: TaskSource, campaign: str, seen: Seen | None) -> Manifest | None:
    if seen is None or seen.path != str(source.manifest):
        return None
    last = ledger.manifest(campaign, source.dataset)
    if last is None or (last.path, last.sha256, last.n_entries) != (seen.path, seen.sha256, seen.end.n_entries):
        return None
    return read_appended(source.manifest, seen.end)


def _remembered(source: TaskSource, manifest: Manifest, seen: Seen | None, *, is_whole: bool) -> Seen:
    problems = tuple(f"line {each.line}: {each.text!r}: {each.reason}" for each in manifest.problems[:_N_SHOWN])
    n_problems, looked_to = len(manifest.problems), seen.looked_to if seen else 0
    if seen is not None and not is_whole:
        problems, n_problems = (*seen.problems, *problems)[:_N_SHOWN], n_problems + seen.n_problems
    return Seen(
        path=str(source.manifest),
        sha256=manifest.sha256,
        end=manifest.end,
        n_problems=n_problems,
        problems=problems,
        looked_to=looked_to,
    )


def look_in_turn(
    ledger: Ledger,
    campaign: str,
    sources: Sequence[TaskSource],
    looked_to: Mapping[str, int],
    *,
    budget_s: float = LOOK_S,
    monotonic: Callable[[], float] = time.monotonic,
) -> dict[str, int]:
    """Look at the folders of waiting tasks, for `budget_s` in all: what is left over is for the next time.

    Each data set has an equal share of the time that those before it have left, and at least one look.

    Returns:
        By data set, the position in the ledger to go on from.
    """
    end_s = monotonic() + budget_s
    reached: dict[str, int] = {}
    for n_before, source in enumerate(sources):
        share_s = (end_s - monotonic()) / (len(sources) - n_before)
        until_s = monotonic() + share_s
        after = looked_to.get(source.dataset, 0)
        is_time_up = _Alarm(until_s, monotonic)
        reached[source.dataset] = look_at_waiting(ledger, source, campaign, after=after, is_time_up=is_time_up)
    return reached


@dataclass(frozen=True)
class _Alarm:
    until_s: float
    monotonic: Callable[[], float]

    def __call__(self) -> bool:
        return self.monotonic() >= self.until_s


def look_at_waiting(
    ledger: Ledger, source: TaskSource, campaign: str, *, after: int, is_time_up: Callable[[], bool]
) -> int:
    """Look at what nobody has looked at yet, then again at the others, round and round, until the time is up.

    What is found is written down page by page, so that a crash costs one page of looks and no more.

    Args:
        after: position in the ledger from which to go on with the others.

    Returns:
        The position from which to go on next time.
    """
    for page in _pages(ledger, source, campaign, unseen=True):
        _, is_up = _look_at(ledger, source, campaign, page, is_time_up)
        if is_up:
            return after
    reached = after
    for page in _pages(ledger, source, campaign, unseen=False, after=after):
        last, is_up = _look_at(ledger, source, campaign, page, is_time_up)
        reached = last.position
        if is_up:
            break
    return reached


def _pages(
    ledger: Ledger, source: TaskSource, campaign: str, *, unseen: bool, after: int = 0
) -> Iterator[Sequence[TaskRow]]:
    """Waiting tasks from behind `after` to the last, then from the first to `after`, each once."""
    position = after
    while page := ledger.waiting(campaign, source.dataset, after=position, limit=_N_PER_PAGE, unseen=unseen):
        yield page
        position = page[-1].position
    position = 0
    while position < after:
        page = ledger.waiting(campaign, source.dataset, after=position, limit=_N_PER_PAGE, unseen=unseen)
        page = [row for row in page if row.position <= after]
        if not page:
            return
        yield page
        position = page[-1].position


def _look_at(
    ledger: Ledger, source: TaskSource, campaign: str, page: Iterable[TaskRow], is_time_up: Callable[[], bool]
) -> tuple[TaskRow, bool]:
    """Look at the folders of `page` until the time is up, at least at one; returns the last, and whether it is up."""
    news: list[ListedTask] = []
    is_up = False
    for row in page:
        found = look_at(source, row.task_id)
        if found.eligible or found.reason != row.ineligible_reason:
            news.append(found)
        is_up = is_time_up()
        if is_up:
            break
    if news:
        ledger.note_looks(campaign, source.dataset, news)
    return row, is_up
