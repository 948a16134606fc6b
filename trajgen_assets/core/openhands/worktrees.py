"""Working directories of `run_infer`: git worktrees of the pinned checkout, as many as processes run at once.

Each process needs one of its own, because `config.toml` is read there and `openhands` is imported from there. They lie
in a folder of the job, hold a lock as long as the job lives, and go when it ends. Those of a dead job are known by
their lock, which nobody holds any more, and go when the next job begins.
"""

import logging
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from trajgen_assets.core.checkouts.staging import beside
from trajgen_assets.core.errors import CheckoutError
from trajgen_assets.core.faults import reached
from trajgen_assets.core.git import Git
from trajgen_assets.core.locks import locked, locked_if_free
from trajgen_assets.core.openhands.checkout import OpenHandsCheckout
from trajgen_assets.core.paths import Root

log = logging.getLogger(__name__)

FOLDER = "openhands"
_LOCK = "lock"


@dataclass
class Worktrees:
    """The worktrees of one job. Any thread may ask.

    Attributes:
        lock_fd: for what is started in them to inherit, so that no worktree goes while a process lives in it.
    """

    checkout: OpenHandsCheckout
    folder: Path
    lock_fd: int
    _free: list[Path] = field(default_factory=list)
    _n_made: int = 0
    _turn: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def taken(self) -> Iterator[Path]:
        """A worktree for one process, clean; made if none is free, and free again behind the block.

        Raises:
            CheckoutError: git cannot make one.
        """
        path = self.take()
        try:
            yield path
        finally:
            self.give_back(path)

    def take(self) -> Path:
        """A worktree for one process, clean; made if none is free. Raises as `taken` does."""
        with self._turn:
            if self._free:
                return self._free.pop()
            self._n_made += 1
            path = self.folder / f"worktree-{self._n_made}"
        with _alone(self.checkout.folder):
            git = Git(self.checkout.folder, keep_fds=(self.lock_fd,))
            git.do("worktree", "add", "--quiet", "--detach", str(path), self.checkout.commit)
        reached("openhands_worktree_made")
        return path

    def give_back(self, path: Path) -> None:
        """Make `path` as the commit has it again, without config.toml and the key in it, and free for the next.

        One that git cannot mend is removed, and another made when it is needed.
        """
        (path / "config.toml").unlink(missing_ok=True)
        try:
            git = Git(path)
            git.told("reset", "--quiet", "--hard", self.checkout.commit)
            git.told("clean", "-ffdxq")
        except CheckoutError as error:
            log.warning("a worktree of OpenHands is given up: %s", error)
            shutil.rmtree(path, ignore_errors=True)
            return
        with self._turn:
            self._free.append(path)


@contextmanager
def worktrees_of(checkout: OpenHandsCheckout, root: Root, job: str) -> Iterator[Worktrees]:
    """Make worktrees for `job` as they are asked for, and remove them all behind the block."""
    remove_dead_worktrees(checkout.folder, root)
    folder = root.sandboxes / job / FOLDER
    with _held(folder / _LOCK) as lock_fd:
        try:
            yield Worktrees(checkout, folder, lock_fd)
        finally:
            _remove(checkout.folder, folder)


@contextmanager
def _held(lock: Path) -> Iterator[int]:
    """Hold a lock that lies at its place: whoever looks for the dead may have removed it since it was made."""
    while True:
        with locked(lock) as fd:
            if lock.exists() and os.path.samestat(os.fstat(fd), lock.stat()):
                yield fd
                return


def remove_dead_worktrees(checkout: Path, root: Root) -> list[str]:
    """Remove the worktrees of jobs that are dead. Returns these jobs' names."""
    dead = []
    for lock in sorted(root.sandboxes.glob(f"*/{FOLDER}/{_LOCK}")):
        with locked_if_free(lock) as fd:
            if fd is not None:
                _remove(checkout, lock.parent)
                dead.append(lock.parent.parent.name)
    _prune(checkout)
    return dead


def _remove(checkout: Path, folder: Path) -> None:
    """The lock goes last: what is left over of a removal that is cut short is still known to be ours."""
    for path in sorted(folder.glob("worktree-*")):
        shutil.rmtree(path, ignore_errors=True)
    _prune(checkout)
    shutil.rmtree(folder, ignore_errors=True)
    if folder.parent.is_dir() and not any(folder.parent.iterdir()):
        folder.parent.rmdir()


def _prune(checkout: Path) -> None:
    """Have git forget worktrees that are gone; those of other jobs, and of a person, are there and stay."""
    if os.path.lexists(checkout / ".git"):
        with _alone(checkout):
            Git(checkout).told("worktree", "prune")


@contextmanager
def _alone(checkout: Path) -> Iterator[None]:
    """Whoever brings the checkout to another pin puts a new folder in its place: not in the middle of this."""
    with locked(beside(checkout, "lock")):
        yield
