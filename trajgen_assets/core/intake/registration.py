"""From a manifest to the ledger: every listed id is registered, and what cannot be rolled out yet says why."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from trajgen_assets.core.errors import TaskError
from trajgen_assets.core.intake.digest import UnusableTreeError
from trajgen_assets.core.intake.manifest import Manifest, read_manifest
from trajgen_assets.core.intake.rows import content_digest
from trajgen_assets.core.intake.source import TaskSource
from trajgen_assets.core.intake.task import inspect_task
from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.ledger.models import ListedTask, ManifestSeen, RegisterResult, TaskFilter


@dataclass(frozen=True)
class Registration:
    """What reading one source's manifest came to."""

    source: TaskSource
    manifest: Manifest
    result: RegisterResult

    @property
    def waiting(self) -> dict[str, str]:
        """Listed ids that cannot be rolled out yet, and why; lines that are no ids are under their own text."""
        refused = {f"line {each.line}": f"{each.text!r}: {each.reason}" for each in self.manifest.problems}
        return refused | self._reasons

    _reasons: dict[str, str]


def register_source(
    ledger: Ledger, source: TaskSource, campaign: str, *, look_at_all: bool = False, first: int | None = None
) -> Registration:
    """Bring the ledger in line with the manifest of `source`.

    A folder is read and digested when its id is new, and when it could not be used so far. What changes after that
    is seen when the task is staged: it then waits, and is looked at again here.

    Args:
        look_at_all: read and digest every folder, so that tasks that are done and have changed are shown so.
        first: register only so many usable tasks, from the top of the manifest.

    Raises:
        ManifestError: the manifest is missing or cannot be trusted. Nothing is concluded from it.
    """
    manifest = read_manifest(source.manifest)
    known = {} if look_at_all else _known(ledger, campaign, source.dataset)
    listed = list(_first(first, _listed(source, manifest.entries, known=known)))
    n_entries = len(manifest.entries) if first is None else len(listed)
    seen = ManifestSeen(str(source.manifest), manifest.sha256, n_entries)
    result = ledger.register(campaign, source.dataset, listed, seen, whole=first is None)
    reasons = {each.task_id: each.reason or "" for each in listed if not each.eligible}
    return Registration(source, manifest, result, reasons)


def _known(ledger: Ledger, campaign: str, dataset: str) -> dict[str, str | None]:
    """Digests of the tasks whose folders need no look, as the ledger has them."""
    rows = ledger.rows(TaskFilter(campaign=campaign, dataset=dataset))
    return {row.task_id: row.digest for row in rows if row.eligible}


def _first(n_usable: int | None, listed: Iterable[ListedTask]) -> Iterator[ListedTask]:
    left = n_usable
    for each in listed:
        yield each
        if left is not None and each.eligible:
            left -= 1
            if left == 0:
                return


def _listed(source: TaskSource, entries: Iterable[str], known: dict[str, str | None]) -> Iterator[ListedTask]:
    for task_id in entries:
        if task_id in known:
            yield ListedTask(task_id, known[task_id], eligible=True)
        else:
            yield look_at(source, task_id)


def look_at(source: TaskSource, task_id: str) -> ListedTask:
    """Inspect and digest one task folder. Whatever is wrong with it is the reason why it waits."""
    folder = inspect_task(source.folder / task_id)
    if not folder.is_usable:
        return _unusable(task_id, folder.note)
    try:
        return ListedTask(task_id, content_digest(folder.folder), eligible=True)
    except (UnusableTreeError, TaskError, OSError) as error:
        return _unusable(task_id, str(error))


def _unusable(task_id: str, reason: str) -> ListedTask:
    storable = reason.encode("utf-8", "backslashreplace").decode()  # a file's name need not be text
    return ListedTask(task_id, None, eligible=False, reason=storable)
