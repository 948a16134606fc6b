"""Interrupts of a job: the first one ends it in good order, and those that follow do not break off its clean-up.

A clean-up takes seconds to minutes, and whoever cancels a run often does so twice; a terminal, a service manager and
Dagster may each send a signal of their own. A clean-up that is broken off leaves the job to recovery, and the run
stands in the web UI as being cancelled until somebody gives it up.
"""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

log = logging.getLogger(__name__)

SIGNALS = (signal.SIGINT, signal.SIGTERM)

# Harbor has a minute to end, and the rest takes seconds. Dagster, too, gives a cancelled run up after this long.
CLOSING_LIMIT_S = 180.0

# A person who presses Ctrl-C so many times does not want to wait.
IMPATIENT = 3

STDERR = 2
SHOW_CURSOR = b"\x1b[?25h"

Handler = Callable[[int, FrameType | None], object]


class Interrupts:
    """What one job does about SIGINT and SIGTERM; whoever had their handlers before is asked first.

    Before the clean-up the earlier handler is called, and what it raises begins the clean-up. A signal that comes
    within the clean-up waits: it is dropped where one has been raised already, and raised afterwards where none has.
    A third one from a terminal, or any after `limit_s`, ends the process as if it were killed: recovery settles the
    job from disk, and Harbor and the proxy end with their parent.
    """

    def __init__(self, job: str, *, limit_s: float = CLOSING_LIMIT_S) -> None:
        self._job = job
        self._limit_s = limit_s
        self._earlier: dict[int, Handler] = {}
        self._closing_since: float | None = None
        self._n_seen = 0
        self._is_raised = False
        self._held: int | None = None

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Answer signals within the block. Outside the main thread none arrive, and nothing is done."""
        if threading.current_thread() is threading.main_thread():
            found = {each: signal.getsignal(each) for each in SIGNALS}
            self._earlier = {each: handler for each, handler in found.items() if callable(handler)}
        for each in self._earlier:
            signal.signal(each, self._answer)
        try:
            yield
        finally:
            for each, handler in self._earlier.items():
                signal.signal(each, handler)
        if self._held is not None and not self._is_raised:
            self._earlier[self._held](self._held, None)

    @contextmanager
    def closing(self) -> Iterator[None]:
        """Whatever follows the block, as it unwinds, is clean-up. Safe to nest: the innermost end begins it."""
        try:
            yield
        finally:
            self._begin()

    def _begin(self) -> None:
        if self._closing_since is None:
            self._closing_since = time.monotonic()

    def _answer(self, signum: int, frame: FrameType | None) -> None:
        self._n_seen += 1
        if self._closing_since is None:
            self._begin()  # before it is raised: the next signal may come while the first steps unwind
            self._is_raised = True
            self._earlier[signum](signum, frame)
            self._is_raised, self._closing_since = False, None  # it was only noted there, and nothing unwinds
            return
        is_late = time.monotonic() - self._closing_since > self._limit_s
        if is_late or (_is_at_terminal() and self._n_seen >= IMPATIENT):
            self._end_at_once(signum)
        self._held = signum
        way_out = (
            "; once more, and it is left to recovery" if self._n_seen == IMPATIENT - 1 and _is_at_terminal() else ""
        )
        self._say(f"the job is being cleaned up, which an interrupt does not break off{way_out}")

    def _end_at_once(self, signum: int) -> NoReturn:
        self._say("its clean-up is broken off; the next tick or command settles the job")
        if os.isatty(STDERR):
            os.write(STDERR, SHOW_CURSOR)  # which a progress display has hidden
        signal.signal(signum, signal.SIG_DFL)
        os.kill(os.getpid(), signum)
        os._exit(128 + signum)  # not come to: the signal is this process's own

    def _say(self, text: str) -> None:
        """Tell whoever sits at the terminal, whatever the level of the log there; else the log."""
        if _is_at_terminal():
            os.write(STDERR, f"\n{self._job}: {text}\n".encode())
            return
        with suppress(RuntimeError):  # the signal came while a line was being written, and that cannot be entered twice
            log.warning("%s: %s", self._job, text)


def _is_at_terminal() -> bool:
    """Whether a person drives this process: what Dagster starts has no terminal to read from."""
    return sys.stdin is not None and sys.stdin.isatty()
