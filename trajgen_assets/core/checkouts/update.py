"""A checkout brought to its pin: refused where a person's work would be lost, else whole or as it was."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from trajgen_assets.core.checkouts.looking import (
    Checkout,
    changed_paths,
    gitlink_fault,
    gitlink_of,
    has_checkout,
    is_vacant,
    lacks_submodules,
    look_at,
    named,
    origin_fault,
    writable_files,
)
from trajgen_assets.core.checkouts.pin import Pin
from trajgen_assets.core.checkouts.staging import (
    beside,
    clear_leftovers,
    commit_of_origin,
    give_to_enclosing,
    holds,
    put_in_place,
    set_head,
    set_write_bits,
    stage,
)
from trajgen_assets.core.errors import RefusedError
from trajgen_assets.core.git import Git, git_says
from trajgen_assets.core.locks import locked, locked_if_free
from trajgen_assets.core.provision.command import Say


@dataclass(frozen=True)
class Updated:
    """What became of a checkout, or, in a dry run, would become of it.

    Attributes:
        before: the commit that it was at; None where there was none.
        commit: the commit that it is at now.
    """

    pin: Pin
    before: str | None
    commit: str

    @property
    def is_changed(self) -> bool:
        return self.before != self.commit


def update(pin: Pin, say: Say, *, dry_run: bool = False) -> Updated:
    """Bring the checkout of `pin` to its commit, and take the write bits of its files where it is read-only.

    What stands is left exactly as it was, content and modes, wherever this raises, and whenever it is killed.

    Args:
        say: gets a line when another call has to be waited for.
        dry_run: change nothing; the origin is asked all the same where the pin is a branch or a tag.

    Raises:
        RefusedError: what stands is not this repository, was changed by hand, or is pinned elsewhere, too.
        CheckoutError: git failed; see its words.
    """
    if dry_run:
        standing = _standing(pin)
        commit = commit_of_origin(pin)
        _refuse_changes(pin, standing, commit)
        return Updated(pin, standing.head if standing else None, commit)
    with _alone(pin.folder, say) as lock_fd:
        clear_leftovers(pin.folder)
        standing = _standing(pin)
        commit = commit_of_origin(pin)
        _refuse_changes(pin, standing, commit)
        before = standing.head if standing else None
        if standing is None or not _is_current(pin, standing, commit):
            _replace(pin, standing, commit, lock_fd)
        elif pin.readonly == bool(writable_files(pin.folder)):
            set_write_bits(pin.folder, readonly=pin.readonly)
        return Updated(pin, before, commit)


@contextmanager
def _alone(folder: Path, say: Say) -> Iterator[int]:
    """Hold the lock of a checkout. A git that outlives its killed caller holds it, too, until it ends."""
    path = beside(folder, "lock")
    with locked_if_free(path) as free:
        if free is not None:
            yield free
            return
    say(f"another update of {folder} is at work; waiting for it")
    with locked(path) as fd:
        yield fd


def _standing(pin: Pin) -> Checkout | None:
    """The checkout that stands, which is of the right repository; None where one is to be made.

    Raises:
        RefusedError: it is another one's, or none.
        CheckoutError: git cannot read it.
    """
    if not has_checkout(pin.folder):
        _refuse_what_is_no_checkout(pin)
        return None
    found = look_at(pin.folder)
    if fault := origin_fault(found, pin):
        mend = "correct the address in the configuration, or move the checkout away"
        raise RefusedError("the checkout is of another repository", where=pin.folder, why=fault, mend=mend)
    return found


def _refuse_what_is_no_checkout(pin: Pin) -> None:
    if not is_vacant(pin.folder):
        mend = "move it away, or name another path"
        raise RefusedError("what lies in the place of the checkout is none", where=pin.folder, mend=mend)
    around = git_says(pin.folder.parent, "rev-parse", "--show-toplevel")
    if around and gitlink_of(Path(around), pin.folder):
        mend = f"run `git -C {around} submodule update --init --recursive`, then this again"
        raise RefusedError("the checkout is a submodule that was not made yet", where=pin.folder, mend=mend)


def _refuse_changes(pin: Pin, standing: Checkout | None, commit: str) -> None:
    if standing is None:
        return
    if fault := gitlink_fault(standing, commit):
        mend = "commit the pin's commit there, or pin what it has"
        raise RefusedError("the checkout is pinned twice", where=pin.folder, why=fault, mend=mend)
    if standing.changed and not _is_finished(standing, commit):
        mend = "commit and push it, or undo it; it was left as it is"
        raise RefusedError("the checkout was changed by hand", where=pin.folder, why=named(standing.changed), mend=mend)


def _is_finished(standing: Checkout, commit: str) -> bool:
    """Whether a submodule's files are the pin's already, and only its HEAD is not: nothing of a person's is there."""
    return standing.is_submodule and standing.head != commit and holds(standing.folder, commit)


def _is_current(pin: Pin, standing: Checkout, commit: str) -> bool:
    git = Git(pin.folder)
    is_there = standing.head == commit and not standing.changed and pin.commit_in(git) == commit
    is_detached = git.ask("symbolic-ref", "--quiet", "HEAD") is None
    return is_there and is_detached and not lacks_submodules(git)


def _replace(pin: Pin, standing: Checkout | None, commit: str, lock_fd: int) -> None:
    if standing is not None and standing.changed:
        set_head(pin.folder, commit)
        set_write_bits(pin.folder, readonly=pin.readonly)
        return
    try:
        new = stage(pin, commit, standing, lock_fd)
        if standing is not None:
            _refuse_late_changes(pin)
            if standing.is_submodule:
                give_to_enclosing(new, standing, commit)
        put_in_place(new, pin.folder)
    finally:
        clear_leftovers(pin.folder)
    if standing is not None and standing.is_submodule:
        set_head(pin.folder, commit)


def _refuse_late_changes(pin: Pin) -> None:
    """Look again: a fetch may take minutes, in which a person may have begun to edit."""
    if changed := tuple(changed_paths(Git(pin.folder))):
        mend = "commit and push it, or undo it; it was left as it is"
        raise RefusedError("the checkout was changed by hand", where=pin.folder, why=named(changed), mend=mend)
