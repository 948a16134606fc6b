"""Trial slots: how many trials a host runs at once, over all of its jobs; the ledger lends them out.

A job begins with as many as are free, up to what it can use, and gives each back as soon as it has no task left for it:
the next job begins beside its tail.
"""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from trajgen_assets.core.errors import BusyError
from trajgen_assets.core.ledger.ledger import Ledger

HOST_ENV = "TRAJGEN_HOST"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

# A job that began with fewer would hold a job slot and a proxy for next to nothing.
LEAST_SHARE = 4


def this_host() -> str:
    """The name under which this host's slots are counted: TRAJGEN_HOST where a container has a name of its own.

    Of processes it says nothing: hosts of one cluster may share the name, to share their trial slots.
    """
    return os.environ.get(HOST_ENV, "").strip() or socket.gethostname()


def sight() -> str:
    """From where the locks of this host are seen, as a job notes it: the host's name, and which start of its kernel."""
    return f"{socket.gethostname()} {_BOOT_ID.read_text().strip()}"


def is_in_sight(noted: str | None) -> bool:
    """Whether the locks of a job that noted this `sight` are seen from here; one that noted none is of this host.

    Containers on one kernel see each other's locks, whatever they call themselves; a host that was started anew knows
    that nothing of its earlier life holds one.
    """
    return noted is None or bool(set(noted.split()) & set(sight().split()))


def least_to_begin(want: int, max_trials: int) -> int:
    """With fewer free slots a job does not begin: a quarter of the host's, or all that it can use."""
    return min(want, max(1, max_trials // LEAST_SHARE))


@dataclass
class TrialSlots:
    """What one job has been lent; `n` only shrinks."""

    ledger: Ledger
    job: str
    max_trials: int
    n: int

    def keep(self, n: int) -> None:
        """Give back what is beyond `n`."""
        if n < self.n:
            self.n = self.ledger.acquire_slots(this_host(), self.job, want=n, max_trials=self.max_trials)


@contextmanager
def trial_slots(
    ledger: Ledger, job: str, *, want: int, max_trials: int, wait: Callable[[str], None] | None = None
) -> Iterator[TrialSlots]:
    """Hold trial slots for `job`: up to `want`, and at least `least_to_begin`.

    Once the job is claimed they are its own, and go with its end, also if somebody else ends it. Until then they are
    given back here, unless another run has claimed the job meanwhile.

    Args:
        wait: called with a word on what is held, and expected to sleep, while too few are free; None fails at once.

    Raises:
        BusyError: too few are free and `wait` is None.
    """
    least = least_to_begin(want, max_trials)
    while (n := ledger.acquire_slots(this_host(), job, want=want, max_trials=max_trials)) < least:
        ledger.release_unclaimed_slots(job)
        held = f"{ledger.slots_in_use(this_host())} of {max_trials} trial slots are in use"
        if wait is None:
            mend = "wait for a job to end, or raise runtime_info.input.automation.max_trials"
            raise BusyError("too few trial slots are free", where=job, why=f"{held}, {least} are needed", mend=mend)
        wait(held)
    try:
        yield TrialSlots(ledger, job, max_trials, n)
    finally:
        ledger.release_unclaimed_slots(job)
