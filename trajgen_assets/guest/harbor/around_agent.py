"""What the platform does right before and right after an agent's own time.

Harbor's clock runs while it waits for the agent's `run`: what took its time in there could make a timeout of an agent
that was done. Harbor's hooks before and after know a trial by name only, so an agent that is set up leaves here what
they are to do.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from carried_through import carried_through

END_LIMIT_S = 120.0


class Part(Protocol):
    """One thing that is done around an agent's time. It raises nothing: Harbor would cancel every other trial."""

    async def begin(self) -> None:
        """Do what comes before."""

    async def end(self) -> None:
        """Do what comes after, also where the agent failed or ran out of time."""


_left: dict[str, Callable[[], Sequence[Part]]] = {}
_begun: dict[str, Sequence[Part]] = {}


def leave(trial: str, make_parts: Callable[[], Sequence[Part]]) -> None:
    """Have these parts done around the agent's time in `trial`, anew for each step of a task in steps."""
    _left[trial] = make_parts


async def begin(trial: str) -> None:
    """Begin what was left for `trial`."""
    make_parts = _left.get(trial)
    if make_parts is None:
        return
    parts = make_parts()
    for part in parts:
        await part.begin()
    _begun[trial] = parts


async def end(trial: str) -> None:
    """End what has begun, though the trial be cancelled meanwhile.

    Raises:
        UnfinishedWorkError: it took longer than `END_LIMIT_S`.
    """
    for part in reversed(_begun.pop(trial, ())):
        await carried_through(part.end(), limit_s=END_LIMIT_S)


def forget(trial: str) -> None:
    """The trial is over."""
    _left.pop(trial, None)
    _begun.pop(trial, None)
