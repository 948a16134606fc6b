"""The published view of the ledger: a YAML file that people and the original's own preflight can read."""

import hashlib
import logging
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from json.encoder import encode_basestring
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from trajgen_assets.core.atomic import write_bytes
from trajgen_assets.core.errors import LedgerError
from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.ledger.schema import tasks
from trajgen_assets.core.locks import locked
from trajgen_assets.core.paths import Root

log = logging.getLogger(__name__)

DESCRIPTION = (
    "Published view of the ledger: which tasks were consumed, and how it ended. It is rewritten by trajgen; "
    "once changed by hand it is left as it is until `trajgen ledger import` has taken the changes over."
)
_DIGEST_LINE = re.compile(rb'digest: "sha256:([0-9a-f]{64})"\n\Z')
# JSON leaves these as they are; YAML forbids them, or reads them as line breaks.
_NOT_IN_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")

NO_VIEW = "no view"


class ViewState(StrEnum):
    """What a refresh did: `held` means too soon after the last one, `edited` that a person changed the file."""

    WRITTEN = "written"
    UNCHANGED = "unchanged"
    HELD = "held"
    EDITED = "edited"


@dataclass
class PublishedView:
    """Keeps the view of one root up to date, without spending more than a twentieth of the time on it.

    A view changed by hand is never overwritten: it is left, and said so in the log, until it was imported.
    """

    ledger: Ledger
    root: Root
    monotonic: Callable[[], float] = time.monotonic
    _next_s: float = field(default=float("-inf"), init=False)

    def refresh_if_changed(self, seen: str | None) -> str:
        """Write the view unless neither the ledger nor the file has changed since `seen` was returned.

        For a caller that comes often and has seldom anything to write: it does not read the tasks, or the file.
        """
        fingerprint = self.ledger.fingerprint()  # before it is written: what changes meanwhile is for the next time
        if f"{fingerprint} {_stamp(self.root.ledger_view)}" != seen:
            self.refresh()
        return f"{fingerprint} {_stamp(self.root.ledger_view)}"

    def refresh(self, *, force: bool = False) -> ViewState:
        """Write the view if it is due, or in any case with `force`, as at the end of a job.

        Raises:
            LedgerError: it cannot be read or written. The ledger itself is as it was.
        """
        started_s = self.monotonic()
        if started_s < self._next_s and not force:
            return ViewState.HELD
        with locked(self.root.locks / "ledger-view"):  # of two writers the one with the newer snapshot comes last
            state = _published(self.ledger, self.root.ledger_view)
        ended_s = self.monotonic()
        self._next_s = ended_s + max(5.0, 20 * (ended_s - started_s))
        if state is ViewState.EDITED:
            log.warning("%s was changed by hand and is left as it is. Mend: `trajgen ledger import` takes it over",
                        self.root.ledger_view)  # fmt: skip
        return state


def _stamp(path: Path) -> str:
    try:
        status = path.stat()
    except OSError:
        return NO_VIEW
    return f"{status.st_ino} {status.st_size} {status.st_mtime_ns}"


def is_edited(path: Path) -> bool:
    """Whether the file is there and is not what was last published: its own digest does not fit, or is missing."""
    stamp = _stamp(path)
    return _looks_edited(path) if stamp == NO_VIEW else _is_edited(path, stamp)


@lru_cache(maxsize=4)
def _is_edited(path: Path, _stamp: str) -> bool:
    """Once for each state of the file: to hash that of 100,000 tasks takes half as long as an idle tick."""
    return _looks_edited(path)


def _looks_edited(path: Path) -> bool:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return False
    found = _DIGEST_LINE.search(data)
    return found is None or hashlib.sha256(data[: found.start()]).hexdigest().encode() != found[1]


def render(ledger: Ledger) -> bytes:
    """The whole view as YAML: `description`, `runs` with one entry a task, and a digest of all before it."""
    body = "".join(_lines(ledger)).encode()
    return body + f'digest: "sha256:{hashlib.sha256(body).hexdigest()}"\n'.encode()


def _published(ledger: Ledger, path: Path) -> ViewState:
    try:
        return _publish(ledger, path)
    except OSError as error:
        what = "the published view of the ledger can be neither read nor written anew"
        mend = "move aside what lies there, and see that the disk has room and can be written"
        raise LedgerError(what, where=path, why=error.strerror, mend=mend) from error


def _publish(ledger: Ledger, path: Path) -> ViewState:
    if is_edited(path):
        return ViewState.EDITED
    data = render(ledger)
    if path.exists() and path.read_bytes() == data:
        return ViewState.UNCHANGED
    write_bytes(path, data)
    return ViewState.WRITTEN


def _column(column: sa.ColumnElement[Any]) -> sa.ColumnElement[str | None]:
    return sa.type_coerce(column, sa.String)  # as stored: a hundred thousand times are not parsed to be written again


_RUNS = sa.select(
    tasks.c.task_id,
    _column(tasks.c.status),
    _column(tasks.c.submitted_at),
    _column(tasks.c.completed_at),
    tasks.c.trajectory_path,
    tasks.c.reward,
    sa.func.coalesce(tasks.c.note, tasks.c.ineligible_reason),
    tasks.c.dataset,
    tasks.c.campaign,
    tasks.c.digest,
    tasks.c.n_attempts,
    sa.func.coalesce(tasks.c.job, tasks.c.last_job),
).order_by(tasks.c.position)


def _lines(ledger: Ledger) -> Iterator[str]:
    yield f"description: {quoted(DESCRIPTION)}\n"
    with ledger.store.read() as conn:
        entries = [_entry(row) for row in conn.execute(_RUNS)]
    yield "runs:\n" if entries else "runs: []\n"
    yield from entries


def _entry(row: Sequence[Any]) -> str:
    """One run. What cannot hold a character that YAML reads as something else is not looked at for one."""
    task_id, status, submitted_at, completed_at, path, reward, note, dataset, campaign, digest, n_attempts, job = row
    return f'''\
- task_id: "{task_id}"
  status: "{status}"
  submitted_at: {"null" if submitted_at is None else f'"{submitted_at}"'}
  completed_at: {"null" if completed_at is None else f'"{completed_at}"'}
  trajectory_path: {"null" if path is None else quoted(path)}
  reward: {"null" if reward is None else repr(reward)}
  note: {"null" if note is None else quoted(note)}
  dataset: "{dataset}"
  campaign: "{campaign}"
  digest: {"null" if digest is None else quoted(digest)}
  attempts: {n_attempts}
  job: {"null" if job is None else quoted(job)}
'''


def quoted(text: str) -> str:
    """`text` as a YAML scalar that is read back as the same text. JSON's quotes are YAML, but for a few characters."""
    plain = encode_basestring(text)
    return plain if text.isascii() and text.isprintable() else _NOT_IN_YAML.sub(_escape, plain)


def _escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"
