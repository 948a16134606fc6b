"""Job slots: how many jobs one host runs at once, held by file locks that no crash can leave behind."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from trajgen_assets.core.errors import BusyError
from trajgen_assets.core.locks import is_locked, take_lock

N_TRIES = 5
TRY_STEP_S = 0.05


@contextmanager
def job_slot(locks: Path, n_slots: int, *, holder: str, wait: Callable[[str], None] | None = None) -> Iterator[int]:
    """Hold one of `n_slots` job slots; yields the descriptor of its lock file.

    Pass the descriptor on to the children (`pass_fds`): the lock is then held until the last of them has
    ended, so that a job whose driver was killed still counts while its Harbor runs. It is released by close
    alone; an explicit unlock would free it under a living child.

    Args:
        locks: folder of the lock files, made if missing.
        n_slots: how many jobs may run at once.
        holder: what is written into the lock file, for whoever has to wait.
        wait: called with a word on who holds them, and expected to sleep, while all are taken; None fails at once.

    Raises:
        BusyError: every slot is taken and `wait` is None.
    """
    while (fd := _try_for_a_while(locks, n_slots)) is None:
        holders = ", ".join(_holders(locks, n_slots)) or "unknown"
        if wait is None:
            raise BusyError(
                "every job slot is taken",
                why=f"{n_slots} in use by {holders}",
                mend="wait for one to end, or raise runtime_info.input.automation.max_jobs",
            )
        wait(f"job slots are held by {holders}")
    try:
        os.ftruncate(fd, 0)
        os.pwrite(fd, holder.encode(), 0)
        yield fd
    finally:
        os.close(fd)


def _try_for_a_while(locks: Path, n_slots: int) -> int | None:
    """Take any slot; one that somebody only looks at (`live_holders`) is free again within microseconds."""
    for _ in range(N_TRIES):
        if (fd := _try_any(locks, n_slots)) is not None:
            return fd
        time.sleep(TRY_STEP_S)
    return None


def _try_any(locks: Path, n_slots: int) -> int | None:
    for number in range(n_slots):
        if (fd := take_lock(locks / f"job-slot-{number}")) is not None:
            return fd
    return None


def live_holders(locks: Path) -> set[str]:
    """Names written into the slot files that somebody, or a child of theirs, holds at this moment."""
    held = (path for path in sorted(locks.glob("job-slot-*")) if is_locked(path))
    return {path.read_text(errors="replace").strip() for path in held}


def _holders(locks: Path, n_slots: int) -> list[str]:
    names = ((locks / f"job-slot-{number}").read_text(errors="replace").strip() for number in range(n_slots))
    return [name for name in names if name]
