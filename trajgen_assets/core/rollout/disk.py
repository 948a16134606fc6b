"""Room on the disk: below a mark no job begins and no trial, so that what runs can still be written down."""

import shutil

from trajgen_assets.core.errors import ShortageError
from trajgen_assets.core.paths import Root

# SQLite, the logs and a few trajectories need this much to be written at all, whatever the mark.
FULL_MB = 16


def low_disk(root: Root, min_free_gb: float) -> str | None:
    """What is wrong with the disk of the root, in words; None while it is not full and `min_free_gb` is free."""
    place = next(path for path in (root.path, *root.path.parents) if path.exists())
    free_gb = shutil.disk_usage(place).free / (1 << 30)
    if free_gb * 1024 < FULL_MB:
        return f"the disk is full: {free_gb * 1024:.0f} MB are free at {place}"
    if free_gb >= min_free_gb:
        return None
    return f"{free_gb:.1f} GB are free at {place}, fewer than harbor_job.min_free_gb = {min_free_gb:g}"


def refuse_below_mark(root: Root, min_free_gb: float) -> None:
    """Refuse to begin a job on a disk that is nearly full.

    Raises:
        ShortageError
    """
    why = low_disk(root, min_free_gb)
    if why is not None:
        mend = "make room, lower harbor_job.min_free_gb, or name another root with --root"
        raise ShortageError("too little disk is free", why=why, mend=mend)
