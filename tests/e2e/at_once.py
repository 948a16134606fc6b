"""How much happened at once: looked at while it happened, and reckoned from what the ledger has of it."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from threading import Event, Thread

from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.ledger.models import JobState
from trajgen_assets.core.ledger.store import open_ledger
from trajgen_assets.core.paths import Root
from trajgen_assets.core.rollout.slots import live_holders
from trajgen_assets.core.rollout.trial_slots import this_host

LOOK_EVERY_S = 0.1

Span = tuple[datetime, datetime]


@dataclass
class Seen:
    """The most of each that was seen in use at one moment."""

    n_looks: int = 0
    n_jobs: int = 0
    n_trial_slots: int = 0
    n_sandboxes: int = 0
    without_a_slot: frozenset[str] = frozenset()

    def look(self, root: Root, ledger: Ledger) -> None:
        running = {job.name for job in ledger.jobs(JobState.RUNNING)}
        holders = live_holders(root.locks)
        still_running = running & {job.name for job in ledger.jobs(JobState.RUNNING)}
        self.n_looks += 1
        self.n_jobs = max(self.n_jobs, len(holders), len(running))
        self.n_trial_slots = max(self.n_trial_slots, ledger.slots_in_use(this_host()))
        self.n_sandboxes = max(self.n_sandboxes, len(list(root.sandboxes.glob("*/*"))))
        self.without_a_slot |= still_running - holders


@contextmanager
def watched(root: Root) -> Iterator[Seen]:
    """Look at what is in use, again and again, while the block runs."""
    seen, over = Seen(), Event()

    def watch() -> None:
        with open_ledger(root) as ledger:
            while not over.wait(LOOK_EVERY_S):
                seen.look(root, ledger)

    thread = Thread(target=watch, name="watch", daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def most_at_once(spans: Iterable[Span]) -> int:
    """The largest number of spans that share a moment; one that ends when another begins does not share it."""
    steps = sorted(step for began, ended in spans for step in ((began, 1), (ended, -1)))
    most = n = 0
    for _, step in steps:
        n += step
        most = max(most, n)
    return most


def overlap(one: Span, other: Span) -> bool:
    return one[0] < other[1] and other[0] < one[1]
