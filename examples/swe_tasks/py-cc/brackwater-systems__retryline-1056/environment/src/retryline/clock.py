"""Time and waiting, so that tests need neither."""

import time


class SystemClock:
    """The machine's monotonic clock."""

    def now(self):
        return time.monotonic()

    def sleep(self, seconds):
        time.sleep(seconds)


class ManualClock:
    """A clock that only moves when someone sleeps on it. Remembers every pause."""

    def __init__(self):
        self._now_s = 0.0
        self.pauses = []

    def now(self):
        return self._now_s

    def sleep(self, seconds):
        self.pauses.append(seconds)
        self._now_s += seconds

    def advance(self, seconds):
        """Let time pass inside the function that is being called."""
        self._now_s += seconds
