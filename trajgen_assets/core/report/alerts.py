"""Alerts: what a person should hear of, one line each in `logs/alerts.jsonl`, and in the log. None is there twice.

An alert is known by what it is about. It is written down first and sent afterwards (`delivery`), so what this file does
not have was never sent, and whoever dies before it is written says it again at the next look.
"""

import json
import logging
import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trajgen_assets.core.clock import stamp
from trajgen_assets.core.locks import locked
from trajgen_assets.core.paths import Root

log = logging.getLogger(__name__)

MAX_TEXT = 600


@dataclass(frozen=True)
class Alert:
    """Something that a person should hear of.

    Attributes:
        kind: `outage`, `disk`, `budget`, `configuration`, `ledger`, `job`, `run` or `check`.
        about: which one of its kind: equal for what must not be said twice.
        text: one sentence, without secrets.
    """

    kind: str
    about: str
    text: str

    @property
    def id(self) -> str:
        """By what a receiver knows it again, should it come twice."""
        return f"{self.kind}:{self.about}"


@dataclass(frozen=True)
class Raised:
    """An alert as it was written down."""

    id: str
    at: str
    kind: str
    text: str


def raise_alerts(root: Root, alerts: Iterable[Alert], *, redact: Callable[[str], str] = str) -> list[Raised]:
    """Write down those alerts that are not there yet, durably. Returns them."""
    wanted = list({alert.id: alert for alert in alerts}.values())
    if not wanted:
        return []
    with locked(root.locks / "alerts"):  # another process may be about to write the same
        known = {each.id for each in read_alerts(root)}
        news = [
            Raised(alert.id, stamp(), alert.kind, redact(alert.text)[:MAX_TEXT])
            for alert in wanted
            if alert.id not in known
        ]
        append_lines(root.alerts, map(asdict, news))
    for each in news:
        log.warning("alert: %s", each.text)
    return news


def read_alerts(root: Root) -> list[Raised]:
    """All that were written down, oldest first. A line of an earlier version has no id, and is passed over."""
    rows = read_lines(root.alerts)
    return [Raised(row["id"], row["at"], row["kind"], row["text"]) for row in rows if row.keys() >= _FIELDS]


_FIELDS = frozenset(Raised.__dataclass_fields__)


def append_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Append JSON lines in one write and sync them. What a killed writer left of a line is closed off first."""
    text = "".join(json.dumps(row) + "\n" for row in rows)
    if not text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    try:
        size = os.fstat(fd).st_size
        is_torn = size > 0 and os.pread(fd, 1, size - 1) != b"\n"
        os.write(fd, (b"\n" if is_torn else b"") + text.encode())
        os.fsync(fd)
    finally:
        os.close(fd)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a file of JSON lines, none if it is not there. Any other line is what a killed writer left."""
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    rows = []
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows
