"""The trajectories of a job that is over, made small: 65 times smaller was measured on histories of 50 turns."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from trajgen_assets.core.capture.stored import SUFFIX, compress, stored
from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.ledger.models import JobState
from trajgen_assets.core.paths import JobPaths, Root
from trajgen_assets.core.rollout.slots import live_holders

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PlainJob:
    """A job that is over and has trajectories that are not compressed, published ones and the proxy's own."""

    name: str
    trajectories: tuple[Path, ...]

    @property
    def size_bytes(self) -> int:
        """What they take on the disk."""
        return sum(file.stat().st_size for each in self.trajectories if (file := stored(each)) is not None)

    def compress(self) -> None:
        """Compress them one by one. Ended in between, it leaves whole files, and a later call does the rest.

        Raises:
            OSError: the disk is full; each file is in one of its two forms.
        """
        for path in self.trajectories:
            compress(path)


def plain_job(root: Root, name: str) -> PlainJob:
    """What there is to compress of a job."""
    return PlainJob(name, tuple(_plain(root.job(name))))


def plain_jobs(root: Root, ledger: Ledger, *, older_than: timedelta) -> Iterator[PlainJob]:
    """The jobs with something to compress whose last trial ended so long ago; none that runs or is not settled."""
    busy = {job.name for job in ledger.jobs(JobState.RUNNING)} | live_holders(root.locks)
    before = datetime.now(UTC) - older_than
    for trials in sorted(root.jobs.glob("*/trials.json")):
        name = trials.parent.name
        is_old = datetime.fromtimestamp(trials.stat().st_mtime, UTC) <= before
        if name not in busy and is_old and (job := plain_job(root, name)).trajectories:
            yield job


def compress_or_say_why_not(root: Root, name: str) -> None:
    """Compress what a job leaves, at its end. Where that fails nothing is lost, and the job has ended as it has."""
    try:
        plain_job(root, name).compress()
    except OSError as error:
        log.warning("%s: not all trajectories are compressed: %s; `trajgen gc --compress` goes on", name, error)


def _plain(files: JobPaths) -> Iterator[Path]:
    """Plain files only: an agent may have left a link in the place of its folder."""
    published = (files.trajectory(folder.name) for folder in sorted(files.dir.glob("*/")))
    for path in [*published, *sorted((files.proxy / "trajectories").glob("*.jsonl"))]:
        if path.suffix != SUFFIX and stored(path) == path and not path.parent.is_symlink():
            yield path
