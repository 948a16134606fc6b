"""Lines that reach a trial's files whole, or are known not to have. Standard library only."""

import fcntl
import json
import os
import re
from datetime import UTC, datetime
from pathlib import Path

# One path component. A trial name becomes a file name here, so nothing else is let near `open`.
TRIAL_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,199}")

MOST_UNNOTED = 1000
unnoted: list[bytes] = []


class ShortWriteError(OSError):
    """A line reached the disk only in part (a full disk does that without an error)."""


def now_stamp() -> str:
    """The current moment as ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def proxy_dir() -> Path:
    """The working folder of this proxy, from `TRAJGEN_PROXY_DIR`."""
    return Path(os.environ["TRAJGEN_PROXY_DIR"])


def trial_file(kind: str, trial: str) -> Path:
    """`<proxy dir>/<kind>/<trial>.jsonl`. Raises ValueError for a trial that is no plain file name."""
    if not TRIAL_PATTERN.fullmatch(trial):
        raise ValueError(f"trial {trial[:80]!r} is no plain file name")
    return proxy_dir() / kind / f"{trial}.jsonl"


def has_ended(trial: str) -> bool:
    """Whether the end marker of `trial` is there: from then on its key opens nothing."""
    return os.path.lexists(proxy_dir() / "ended" / trial)


def append_line(path: Path, line: bytes) -> None:
    """Append `line` and its newline with one system call, after closing a torn line that an earlier failure left.

    Raises:
        OSError: it could not be written; ShortWriteError when only a part of it was.
    """
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(path, flags, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        data = (b"\n" if _ends_torn(fd) else b"") + line + b"\n"
        written = os.write(fd, data)
        if written != len(data):
            raise ShortWriteError(f"wrote {written} of {len(data)} bytes to {path.name}")
    finally:
        os.close(fd)


def _ends_torn(fd: int) -> bool:
    size = os.fstat(fd).st_size
    return size > 0 and os.pread(fd, 1, size - 1) != b"\n"


def mark_broken(trial: str, lost: str, error: Exception) -> None:
    """Note in `<proxy dir>/broken` what was lost of `trial`: an `admission`, a `begin`, a `record`, a `served` line, or
    the `logger` as a whole. Where that cannot be written either, it is kept for `note_losses`."""
    line = json.dumps({"at": now_stamp(), "trial": trial, "lost": lost, "error": f"{type(error).__name__}: {error}"})
    if len(unnoted) < MOST_UNNOTED:
        unnoted.append(line.encode())
    try:
        note_losses()
    except OSError:  # the disk is full or gone: until it has room again the proxy's log is all that is left
        os.write(2, f"trajgen: capture is broken: {line}\n".encode())


def note_losses() -> None:
    """Write down what could not be noted at its time.

    Raises:
        OSError: it still cannot be.
    """
    while unnoted:
        append_line(proxy_dir() / "broken", unnoted[0])
        del unnoted[0]
