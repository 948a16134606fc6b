"""Whether the daemon lives: each tick of the sensor that watches the manifests leaves a beat.

That says more than a process that is there: the daemon reaches our code, and our sensor is switched on. Whoever ends
the daemon in good order takes the beat away, so one that stands and is old means that it died, or hangs.
"""

import logging
from contextlib import suppress
from datetime import UTC, datetime

from trajgen_assets.core.paths import Root

log = logging.getLogger(__name__)

# Ticks are 30 s apart, and one that settles and looks takes up to a minute; a machine that is busy takes longer.
SILENT_AFTER_S = 300.0


def beat(root: Root) -> None:
    """Say that the daemon lives. That it cannot be said is logged: a full disk stops no tick."""
    try:
        root.logs.mkdir(parents=True, exist_ok=True)
        root.heartbeat.touch()
    except OSError as error:
        log.warning("%s cannot be written: %s", root.heartbeat, error.strerror)


def end_beats(root: Root) -> None:
    """Say that the daemon was ended in good order."""
    with suppress(FileNotFoundError):
        root.heartbeat.unlink()


def last_beat(root: Root) -> datetime | None:
    """When the daemon was last heard of; None if it never ran, or was ended in good order."""
    try:
        return datetime.fromtimestamp(root.heartbeat.stat().st_mtime, UTC)
    except FileNotFoundError:
        return None


def is_heard(root: Root, now: datetime) -> bool:
    """Whether a daemon runs: it was heard of, and not too long ago."""
    return last_beat(root) is not None and not is_silent(root, now)


def is_silent(root: Root, now: datetime) -> bool:
    """Whether a daemon that was not ended has not been heard of for too long."""
    last = last_beat(root)
    return last is not None and (now - last).total_seconds() > SILENT_AFTER_S
