"""Managed repositories: each is there, of its address, at its pin, clean, and not to be written by mistake."""

from collections.abc import Iterator

from trajgen_assets.core.checkouts.faults import faults_of
from trajgen_assets.core.checkouts.looking import has_checkout, is_vacant, look_at
from trajgen_assets.core.checkouts.pin import Pin, pins_of
from trajgen_assets.core.errors import CheckoutError
from trajgen_assets.core.preflight.findings import Finding, NotLookedError, Subject, ok, warn


def checkouts(subject: Subject) -> Iterator[Finding]:
    """Each checkout is what its pin says. A job begins all the same: its environments are built, and stand."""
    pins = pins_of(subject.config)
    named = subject.config.meta_info.repositories
    if not named:
        yield ok("the configuration names none")
    for name, each in named.items():
        if each.is_package:
            yield ok(f"{each.name} {each.version} of the package index, as its lock pins it", subject=name)
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
        faults = list(faults_of(pin, found))
    except CheckoutError as error:
        raise NotLookedError(f"git cannot read {pin.folder}: {error.why or error.what}") from error
    for fault, mend in faults:
        yield warn(f"{pin.folder}: {fault}", mend, subject=pin.name)
    if not faults:
        mode = ", read-only" if pin.readonly else ""
        yield ok(f"at {(found.head or '')[:12]}, clean{mode}", subject=pin.name)
