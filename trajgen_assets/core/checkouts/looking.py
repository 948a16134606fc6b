"""What a checkout is like now. Nothing here changes it, not even the times in its index."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trajgen_assets.core.checkouts.addresses import normal_url
from trajgen_assets.core.checkouts.pin import Pin
from trajgen_assets.core.errors import CheckoutError
from trajgen_assets.core.git import Git

WRITE_BITS = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH
N_SHOWN = 5
STATUS = ("--no-optional-locks", "status", "--porcelain", "-z", "--untracked-files=all", "--ignore-submodules=none")


@dataclass(frozen=True)
class Checkout:
    """A checkout that stands.

    Attributes:
        head: the commit that it is at; None where it has none yet.
        changed: paths that were edited, added or removed by hand, a few of them.
        gitlink: the commit that an enclosing repository pins here, where this is a submodule of one.
        enclosing: the work tree of that repository.
    """

    folder: Path
    origin: str
    head: str | None
    changed: tuple[str, ...]
    gitlink: str | None = None
    enclosing: Path | None = None

    @property
    def is_submodule(self) -> bool:
        return self.enclosing is not None


def has_checkout(folder: Path) -> bool:
    """Whether `folder` is a checkout of its own: `.git` is a folder, or, of a submodule, a file."""
    return os.path.lexists(folder / ".git")


def is_vacant(folder: Path) -> bool:
    """Whether a checkout can be put at `folder`: nothing is there, or an empty folder."""
    return not os.path.lexists(folder) or (folder.is_dir() and not any(folder.iterdir()))


def look_at(folder: Path) -> Checkout:
    """Look at the checkout in `folder`.

    Raises:
        CheckoutError: git cannot read it, or its `.git` belongs to something that is no enclosing repository.
    """
    git = Git(folder)
    git.told("rev-parse", "--git-dir")  # fails with git's own reason
    enclosing = git.ask("rev-parse", "--show-superproject-working-tree") or ""
    around = Path(enclosing.strip()) if enclosing.strip() else None
    if around is None and not (folder / ".git").is_dir():
        mend = "move it away; `trajgen update-repos` then makes a clone of its own"
        raise CheckoutError(
            "it shares its .git with another checkout, of which it is no submodule", where=folder, mend=mend
        )
    return Checkout(
        folder=folder,
        origin=(git.ask("config", "--get", "remote.origin.url") or "").strip(),
        head=(git.ask("rev-parse", "--verify", "--quiet", "HEAD^{commit}") or "").strip() or None,
        changed=tuple(changed_paths(git)),
        gitlink=None if around is None else gitlink_of(around, folder),
        enclosing=around,
    )


def changed_paths(git: Git) -> list[str]:
    """Paths that are not as HEAD has them, also those that the index was told to overlook."""
    lines = git.names(*STATUS)
    overlooked = [line for line in git.names("ls-files", "-v", "-z") if line[0].islower() or line[0] == "S"]
    return [line[3:] if line[2:3] == " " else line for line in lines] + [line[2:] for line in overlooked]


def gitlink_of(around: Path, folder: Path) -> str | None:
    """The commit that the repository `around` pins for its submodule at `folder`; None if it pins none there."""
    path = os.path.relpath(folder, around.resolve())
    line = Git(around).ask("ls-files", "--stage", "--", f":(literal){path}") or ""
    return line.split()[1] if line.startswith("160000 ") else None


def lacks_submodules(git: Git) -> bool:
    """Whether a submodule was never checked out, which git does not call a change."""
    if not (git.folder / ".gitmodules").is_file():
        return False
    return any(line.startswith("-") for line in (git.ask("submodule", "status", "--recursive") or "").splitlines())


def tracked_files(folder: Path) -> Iterator[Path]:
    """The regular files that git has there, in submodules too. Raises CheckoutError as `look_at` does."""
    for name in Git(folder).names("ls-files", "-z", "--recurse-submodules"):
        path = folder / name
        if path.is_file() and not path.is_symlink():
            yield path


def writable_files(folder: Path) -> list[Path]:
    """Those of its files that have a write bit."""
    return [path for path in tracked_files(folder) if path.stat().st_mode & WRITE_BITS]


def origin_fault(checkout: Checkout, pin: Pin) -> str | None:
    """What is wrong with where it is from. Neither address is shown with a login."""
    found = normal_url(checkout.origin)
    if found == normal_url(pin.url):
        return None
    return f"its origin is {found or 'none'} and not {normal_url(pin.url)}"


def gitlink_fault(checkout: Checkout, wanted: str) -> str | None:
    """How the repository around it, if any, contradicts the pin."""
    if not checkout.is_submodule or checkout.gitlink == wanted:
        return None
    pinned = checkout.gitlink[:12] if checkout.gitlink else "none"
    return f"the repository around it ({checkout.enclosing}) has {pinned} here, and the pin is {wanted[:12]}"


def named(paths: tuple[str, ...]) -> str:
    """A few of `paths`, and how many more there are."""
    more = len(paths) - N_SHOWN
    return ", ".join(paths[:N_SHOWN]) + (f" and {more} more" if more > 0 else "")
