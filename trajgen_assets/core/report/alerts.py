"""Alerts: what a person should hear of, one line each in `logs/alerts.jsonl`, and in the log."""

import json
import logging
import os

from trajgen_assets.core.clock import stamp
from trajgen_assets.core.paths import Root

log = logging.getLogger(__name__)


def alert(root: Root, kind: str, text: str) -> None:
    """Write one alert. Whoever calls sees to it that the same one is not written twice.

    Args:
        kind: what it is about, for whoever filters: `outage`, and others to come.
        text: one sentence, without secrets.
    """
    line = json.dumps({"at": stamp(), "kind": kind, "text": text}) + "\n"
    root.logs.mkdir(parents=True, exist_ok=True)
    fd = os.open(root.logs / "alerts.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    try:
        os.write(fd, line.encode())  # one write: lines of two processes do not mix
        os.fsync(fd)
    finally:
        os.close(fd)
    log.warning("alert: %s", text)
