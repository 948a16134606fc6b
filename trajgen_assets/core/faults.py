"""Named points at which a test may stop a process, so that it can be killed just there. Inert otherwise.

In production `reached` is one look at the environment: TRAJGEN_FAULTS is not set, and nothing happens. Where it names
a folder, a process that comes to a point whose file `<point>.armed` lies there takes that file: it renames it to
`<point>.<pid>` and waits until that file is deleted. One process stops, once; whoever armed the point knows its pid.
A process that waits can be interrupted and killed like any other.
"""

import os
import time
from pathlib import Path

FAULTS_ENV = "TRAJGEN_FAULTS"
LOOK_EVERY_S = 0.05


def reached(point: str) -> None:
    """Say that this process has come to `point`; stops it there if a test asked for that."""
    folder = os.environ.get(FAULTS_ENV)
    if folder is not None:
        _wait_if_armed(Path(folder), point)


def _wait_if_armed(folder: Path, point: str) -> None:
    waiting = folder / f"{point}.{os.getpid()}"
    try:
        os.rename(folder / f"{point}.armed", waiting)  # noqa: PTH104  of two that come here at once, one gets it
    except FileNotFoundError:
        return
    while waiting.exists():
        time.sleep(LOOK_EVERY_S)
