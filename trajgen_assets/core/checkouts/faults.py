"""What is not as a pin says, each with its mend, for whoever looks at a checkout and for whoever builds from it."""

from collections.abc import Iterator

from trajgen_assets.core.checkouts.looking import (
    Checkout,
    gitlink_fault,
    has_checkout,
    lacks_submodules,
    look_at,
    named,
    origin_fault,
    writable_files,
)
from trajgen_assets.core.checkouts.pin import Pin
from trajgen_assets.core.errors import RefusedError
from trajgen_assets.core.git import Git

BY_HAND = "commit and push it, or undo it: `trajgen update-repos` never overwrites it"


def faults_of(pin: Pin, found: Checkout) -> Iterator[tuple[str, str]]:
    """Each fault of a checkout, with its mend. Raises CheckoutError where git cannot read it."""
    git, update = Git(pin.folder), f"run `trajgen update-repos --repo {pin.name}`"
    if fault := origin_fault(found, pin):
        yield fault, "correct the address in the configuration, or move the checkout away"
    wanted = pin.commit or pin.commit_in(git)
    if found.head is None or found.head != wanted:
        yield f"its HEAD {(found.head or 'none')[:12]} is not {pin.words}", update
    elif fault := gitlink_fault(found, wanted):
        yield fault, "commit the pin's commit there, or pin what it has"
    if found.changed:
        yield f"it has changes that are not committed: {named(found.changed)}", BY_HAND
    if lacks_submodules(git):
        yield "it lacks a submodule", update
    if pin.readonly and (writable := writable_files(pin.folder)):
        yield f"{len(writable)} of its files can be written, {writable[0].relative_to(pin.folder)} for one", update


def commit_at_pin(pin: Pin, refusal: str) -> str:
    """The commit that the checkout of `pin` is at, which is what the pin says.

    Args:
        refusal: what is not done otherwise.

    Raises:
        RefusedError: it is not checked out, or not what its pin says.
        CheckoutError: git cannot read it.
    """
    mend = f"run `trajgen update-repos --repo {pin.name}`"
    if not has_checkout(pin.folder):
        raise RefusedError(refusal, where=pin.folder, why="it is not checked out", mend=mend)
    found = look_at(pin.folder)
    fault = next(faults_of(pin, found), None)
    if fault is not None or found.head is None:
        why, mend = fault or ("it has no commit", mend)
        raise RefusedError(refusal, where=pin.folder, why=why, mend=mend)
    return found.head
