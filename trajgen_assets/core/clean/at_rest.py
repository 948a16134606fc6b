"""A root in which nobody is at work, held so until whoever deletes or packs is done."""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from trajgen_assets.core.errors import BusyError
from trajgen_assets.core.intake.staging import RECORDS
from trajgen_assets.core.ledger.models import JobState
from trajgen_assets.core.ledger.place import has_ledger
from trajgen_assets.core.ledger.store import open_ledger
from trajgen_assets.core.locks import is_locked, take_lock
from trajgen_assets.core.paths import Root

N_TRIES = 5
TRY_STEP_S = 0.05

_SLOT = "job-slot-"


@contextmanager
def at_rest(root: Root, *, holder: str, n_slots: int) -> Iterator[None]:
    """Hold every job slot and every lock of a step that reads or writes outputs; whoever comes meanwhile waits.

    Args:
        root: what is held.
        holder: who that is, for those that wait for a slot.
        n_slots: how many jobs may run at once; slots that are there beyond that are held too.

    Raises:
        BusyError: a job runs or is not settled, or a conversion, a data set, a judge, the staging of tasks or the
            dashboard is being made. Nothing was changed.
    """
    with ExitStack() as held:
        for path, doing in _locks(root, n_slots):
            fd = _take(path)
            if fd is None:
                raise _busy(path, doing)
            held.callback(os.close, fd)
            if path.name.startswith(_SLOT):
                os.ftruncate(fd, 0)
                os.pwrite(fd, holder.encode(), 0)
        _refuse_staging(root)
        _refuse_unsettled(root)
        yield


def _locks(root: Root, n_slots: int) -> Iterator[tuple[Path, str]]:
    slots = {root.locks / f"{_SLOT}{number}" for number in range(n_slots)} | set(root.locks.glob(f"{_SLOT}*"))
    yield from ((path, "a job runs") for path in sorted(slots))
    for folder, doing in (("data", "training data is being made"), ("judge", "rows are being judged")):
        yield from ((path, doing) for path in sorted((root.locks / folder).glob("*")))
    for name, doing in ((".lock", "is being built"), (".publish.lock", "is being published")):
        if (path := root.dashboard / name).exists():
            yield path, f"the dashboard {doing}"


def _take(path: Path) -> int | None:
    """Take a lock; one that somebody only looks at is free again within microseconds."""
    for _ in range(N_TRIES):
        if (fd := take_lock(path)) is not None:
            return fd
        time.sleep(TRY_STEP_S)
    return None


def _busy(path: Path, doing: str) -> BusyError:
    named = path.read_text(errors="replace").strip() if path.name.startswith(_SLOT) else path.name
    mend = "wait until that is done, or stop a job by `trajgen stop JOB`"
    return BusyError(f"{doing}, so nothing was touched", where=named or path, mend=mend)


def _refuse_staging(root: Root) -> None:
    """Only looked at: whoever removes a staged task takes this lock himself."""
    for path in root.tasks.glob(f"*/{RECORDS}/lock"):
        if is_locked(path):
            raise _busy(path, "tasks are being staged")


def _refuse_unsettled(root: Root) -> None:
    if not has_ledger(root):
        return
    with open_ledger(root) as ledger:
        running = ledger.jobs(JobState.RUNNING)
    if running:
        mend = "`trajgen ledger check --fix` settles one that was lost"
        raise BusyError("a job is not settled, so nothing was touched", where=running[0].name, mend=mend)
