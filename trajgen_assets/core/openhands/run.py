"""All trials of one job, as many at a time as the job has slots, brought forward by whoever follows the job."""

import os
import shutil
import signal
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from trajgen_assets.core.openhands.work import Work, living
from trajgen_assets.core.process import ProcessId
from trajgen_assets.core.rollout.events import WAITS, EventFeed

TITLE = "OpenHands"

# While a trial waits for room on the disk, that is said so often: whoever follows must hear of it.
DISK_WORD_S = 60.0


@dataclass
class OpenHandsRun:
    """Trials that wait and trials under way.

    Attributes:
        log_path: folder of the job, in which each trial has its log.
        started: to be told of all processes that live.
    """

    waiting: deque[Work]
    n_concurrent: int
    feed: EventFeed
    log_path: Path
    min_free_gb: float
    started: Callable[[Mapping[str, ProcessId]], None]
    title: str = TITLE
    _under_way: dict[str, Work] = field(default_factory=dict)
    _known: set[ProcessId] = field(default_factory=set)
    _said_at: float = -DISK_WORD_S

    def poll(self) -> int | None:
        """Bring each trial forward, and begin those that there is room for; 0 when none is left."""
        for work in list(self._under_way.values()):
            self._advance(work)
        while self.waiting and len(self._under_way) < self.n_concurrent and self._has_room(self.waiting[0]):
            work = self.waiting.popleft()
            self._under_way[work.trial.name] = work
            self._advance(work)
        return None if self._under_way or self.waiting else 0

    def log_tail(self, n_lines: int = 12) -> str:
        """The last words of so many trials under way."""
        said = [f"{name}: {work.trial.last_words()}" for name, work in self._under_way.items()]
        return "\n".join(said[-n_lines:])

    def end(self) -> None:
        """End all processes; every trial that began has its result then."""
        for work in self._under_way.values():
            if work.child is not None:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(work.child.pid, signal.SIGTERM)  # all at once: each may take its time
        for work in self._under_way.values():
            work.cancel()
        self._under_way.clear()

    def _advance(self, work: Work) -> None:
        if work.advance():
            del self._under_way[work.trial.name]
        now = living(self._under_way)
        if set(now.values()) != self._known:  # whoever finds the job dead ends what is written down
            self._known = set(now.values())
            self.started(now)

    def _has_room(self, work: Work) -> bool:
        """Whether enough disk is free for one more trial; a job that is asked to stop needs none."""
        if work.stop.exists() or shutil.disk_usage(self.log_path).free / (1 << 30) >= self.min_free_gb:
            return True
        if time.monotonic() - self._said_at >= DISK_WORD_S:
            self._said_at = time.monotonic()
            work.tell(WAITS, work.trial)
        return False
