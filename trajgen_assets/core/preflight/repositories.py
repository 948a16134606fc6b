"""Managed repositories: each is there, of its address, at its pin, clean, and not to be written by mistake."""

from collections.abc import Iterator

from trajgen_assets.core.checkouts.looking import (
    Checkout,
    gitlink_fault,
    has_checkout,
    is_vacant,
    lacks_submodules,
    look_at,
    named,
    origin_fault,
    writable_files,
)
from trajgen_assets.core.checkouts.pin import Pin, pins_of
from trajgen_assets.core.errors import CheckoutError
from trajgen_assets.core.git import Git
from trajgen_assets.core.preflight.findings import Finding, NotLookedError, Subject, ok, warn

BY_HAND = "commit and push it, or undo it: `trajgen update-repos` never overwrites it"


def checkouts(subject: Subject) -> Iterator[Finding]:
    """Each checkout is what its pin says. A job begins all the same: its environments are built, and stand."""
    pins = pins_of(subject.config)
    if not pins:
        yield ok("the configuration names none")
    for pin in pins.values():
        yield from _checkout(pin)


def _checkout(pin: Pin) -> Iterator[Finding]:
    update = f"run `trajgen update-repos --repo {pin.name}`"
    if not has_checkout(pin.folder):
        if is_vacant(pin.folder):
            yield warn(f"not checked out at {pin.folder}", update, subject=pin.name)
        else:
            yield warn(f"{pin.folder} is there and is no git checkout", "move it away", subject=pin.name)
        return
    try:
        found = look_at(pin.folder)
        faults = list(_faults(pin, found, update))
    except CheckoutError as error:
        raise NotLookedError(f"git cannot read {pin.folder}: {error.why or error.what}") from error
    for fault, mend in faults:
        yield warn(f"{pin.folder}: {fault}", mend, subject=pin.name)
    if not faults:
        mode = ", read-only" if pin.readonly else ""
        yield ok(f"at {(found.head or '')[:12]}, clean{mode}", subject=pin.name)


def _faults(pin: Pin, found: Checkout, update: str) -> Iterator[tuple[str, str]]:
    """What is not as the pin says, each with its mend."""
    git = Git(pin.folder)
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
