"""The staged tasks: whether each is still what the ledger has recorded of it."""

import random
import time
from collections.abc import Iterator
from pathlib import Path

from trajgen_assets.core.counting import count_of, some_of
from trajgen_assets.core.errors import TaskChangedError, TaskError
from trajgen_assets.core.intake.digest import UnusableTreeError
from trajgen_assets.core.intake.rows import content_digest
from trajgen_assets.core.intake.staging import staged_ids
from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.ledger.models import TaskFilter, TaskRow, TaskStatus
from trajgen_assets.core.preflight.findings import Finding, Subject, fail, ok, warn

# Ten thousand small tasks are read in about that time; a click on tasks makes the check, too.
LOOK_S = 30.0


def staged_digests(subject: Subject) -> Iterator[Finding]:
    """Each data set's staged folders, as many as can be read in time; one that was changed by hand is a failure.

    A task that is pending may have been registered anew since it was staged: it is staged again before its trial.
    """
    folders = sorted(path for path in subject.root.tasks.glob("*") if path.is_dir())
    for folder in folders:
        yield from _data_set(subject.ledger, folder, LOOK_S / len(folders))
    if not folders:
        yield ok("nothing is staged")


def _data_set(ledger: Ledger, folder: Path, within_s: float) -> Iterator[Finding]:
    recorded: dict[str, list[TaskRow]] = {}  # of each campaign
    for row in ledger.rows(TaskFilter(dataset=folder.name)):
        recorded.setdefault(row.task_id, []).append(row)
    ids = staged_ids(folder)
    digests = _digests(folder, [task_id for task_id in ids if task_id in recorded], within_s)
    changed = [each for each, digest in digests.items() if digest not in {row.digest for row in recorded[each]}]
    old = [each for each in changed if all(row.status is TaskStatus.PENDING for row in recorded[each])]
    if broken := [each for each in changed if each not in old]:
        what = f"{count_of(len(broken), 'staged task is', 'staged tasks are')} not what was rolled out"
        mend = "remove the folder and its record in .staged/; it is staged again when it is needed"
        yield fail(TaskChangedError(what, where=folder, why=some_of(broken), mend=mend), subject=folder.name)
    if old:
        text = f"{count_of(len(old), 'pending task differs', 'pending tasks differ')} from the ledger: {some_of(old)}"
        yield warn(text, "none: they are staged again before their trials", subject=folder.name)
    if unknown := [each for each in ids if each not in recorded]:
        yield warn(f"the ledger does not know {some_of(unknown)}", "see `trajgen ledger check`", subject=folder.name)
    if not changed:
        seen = "" if len(digests) == len(ids) else f" of {len(ids)}"
        yield ok(f"{len(digests)}{seen} staged tasks are as recorded", subject=folder.name)


def _digests(folder: Path, ids: list[str], within_s: float) -> dict[str, str | None]:
    """The digest of each; where there is not the time for all, of others at each look."""
    deadline = time.monotonic() + within_s
    digests: dict[str, str | None] = {}
    for task_id in random.sample(ids, len(ids)):
        if time.monotonic() > deadline:
            break
        digests[task_id] = _digest(folder / task_id)
    return dict(sorted(digests.items()))


def _digest(folder: Path) -> str | None:
    """The digest of a staged folder; None if it is gone or cannot be read, which is no recorded digest."""
    try:
        return content_digest(folder)
    except (OSError, TaskError, UnusableTreeError):
        return None
