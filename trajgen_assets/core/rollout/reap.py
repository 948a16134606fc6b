"""End all that a dead job left: processes by recorded id, containers and networks by label, sandboxes by folder."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from trajgen_assets.core.errors import BusyError
from trajgen_assets.core.locks import locked_if_free
from trajgen_assets.core.paths import Root
from trajgen_assets.core.process import child_env, recorded_processes, stop_recorded
from trajgen_assets.core.rollout.docker import Leftovers
from trajgen_assets.core.rollout.harness import Harness
from trajgen_assets.core.rollout.harnesses import harness_of_job
from trajgen_assets.core.rollout.slots import live_holders

STOP_GRACE_S = 30.0


@dataclass(frozen=True)
class Reaped:
    """What was ended."""

    pids: tuple[int, ...]
    docker: Leftovers
    sandboxes: bool

    def __str__(self) -> str:
        counts = {
            "processes": len(self.pids),
            "containers": len(self.docker.containers),
            "networks": len(self.docker.networks),
            "volumes": len(self.docker.volumes),
            "images": len(self.docker.images),
            "sandbox folders": int(self.sandboxes),
        }
        return ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "nothing was left"


def reap(root: Root, job: str, *, harness: Harness | None = None, force: bool = False) -> Reaped:
    """End what `job` left behind. Safe to repeat, and safe where there is nothing.

    Args:
        harness: what it ran with, where that is not the one that was kept with it.
        force: also while something holds the job's slot, as a Harbor that was stopped and not ended does.

    Raises:
        BusyError: the job is running, or is just being reaped.
        RequirementError: its trials ran in Docker, and the engine does not answer.
    """
    if not force and job in live_holders(root.locks):
        raise BusyError("the job is running", where=job, mend="cancel its run first; that settles it, too")
    with _lock(root.job(job).proxy / "reap.lock", job):
        pids = stop_recorded(recorded_processes(root.job(job).processes).values(), grace_s=STOP_GRACE_S)
        had_sandboxes = (root.sandboxes / job).exists()
        docker = (harness or harness_of_job(root, job)).clear_away(root, job)
        _mark(root, job).touch()
    return Reaped(tuple(pids), docker, had_sandboxes)


def is_reaped(root: Root, job: str) -> bool:
    """Whether nothing of a dead job is left to be ended: it was reaped, or never came so far as to start anything."""
    return _mark(root, job).exists() or not root.job(job).proxy.exists()


def start_reaper(root: Root, job: str) -> subprocess.Popen[bytes]:
    """Start `trajgen reap` on a job that is lost, as a process that outlives this one.

    Raises:
        BusyError: an earlier one is still at work.
    """
    files = root.job(job)
    with _lock(files.proxy / "reaper.lock", job) as lock_fd, files.reap_log.open("ab") as output:
        return subprocess.Popen(
            [Path(sys.executable).parent / "trajgen", "--root", root.path, "reap", "--force", job],
            env=child_env(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=(lock_fd,),  # held as long as it lives
        )


def _mark(root: Root, job: str) -> Path:
    return root.job(job).proxy / "reaped"


@contextmanager
def _lock(path: Path, job: str) -> Iterator[int]:
    """Be the only one that reaps a job; yields the descriptor of the lock."""
    with locked_if_free(path) as fd:
        if fd is None:
            raise BusyError("what the job left is just being ended", where=job, mend="wait until that is done")
        yield fd
