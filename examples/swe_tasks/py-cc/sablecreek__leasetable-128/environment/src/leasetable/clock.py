"""Where the time comes from."""

import time


class MonotonicClock:
    """Seconds of the system's monotonic clock."""

    def now(self):
        return time.monotonic()


class ManualClock:
    """A clock that moves only when it is told to."""

    def __init__(self, start_s=0.0):
        self._now_s = start_s

    def now(self):
        return self._now_s

    def advance(self, seconds):
        if seconds < 0:
            raise ValueError("time does not run backwards")
        self._now_s += seconds
