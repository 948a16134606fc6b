"""Who makes a job's results and data: one process at a time, and none any more once that process has ended.

A sensor's run, `trajgen start`, a click and `trajgen ledger check --fix` all make the same. A lock tells that one of
them is at it, and not a note in the ledger: a note outlives its writer, and then nobody would make the data.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trajgen_assets.core.locks import is_locked, locked
from trajgen_assets.core.paths import Root


@contextmanager
def making_data(root: Root, job: str) -> Iterator[None]:
    """Be the only one that makes the data of `job` within the block; waits for whoever is at it."""
    with locked(_lock(root, job)):
        yield


def is_data_being_made(root: Root, job: str) -> bool:
    """Whether somebody makes the data of `job` at this moment."""
    path = _lock(root, job)
    return path.exists() and is_locked(path)


def _lock(root: Root, job: str) -> Path:
    return root.locks / "data" / job  # no prefix: a job's name may be as long as a file's may
