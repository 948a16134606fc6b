"""Waiting for what other processes do."""

import time
from collections.abc import Callable

LOOK_EVERY_S = 0.05


def wait_until(
    condition: Callable[[], bool], *, limit_s: float = 60.0, alive: Callable[[], bool] = lambda: True
) -> None:
    """Return once `condition` holds; fail after `limit_s` seconds, or as soon as whoever should see to it is dead."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert alive(), "it ended before it came to that"
        assert time.monotonic() < deadline, f"nothing happened in {limit_s:g} s"
        time.sleep(LOOK_EVERY_S)
