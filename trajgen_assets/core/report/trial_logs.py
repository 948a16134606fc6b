"""What is on record of one trial while it runs and afterwards, from all who wrote about it, joined in time.

The trial's own files are an agent's as well: no link is followed, what is no plain file is passed over, and nothing
reaches a terminal that could steer it.
"""

import json
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from trajgen_assets.core.report.agent_lines import in_words
from trajgen_assets.core.report.places import TrialPlace

# Of a longer file only the end is shown; a longer line is cut.
MAX_BYTES = 8 << 20
MAX_LINE = 4000

# What moves a cursor or sets a colour, and says nothing to whoever reads a log.
_STEERING = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
_CLOCK = re.compile(r"(\d\d):(\d\d):(\d\d) - ")
_MOMENT = re.compile(r"\[?(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:\d\d)?)")
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

Parse = Callable[[str, datetime], "tuple[datetime | None, str] | None"]


@dataclass(frozen=True)
class LogLine:
    """One line as it was written: when, as far as that is known, by whom, and what. Show it by `shown` alone."""

    at: datetime
    origin: str
    text: str

    def shown(self, redact: Callable[[str], str]) -> str:
        """The line for a terminal. Secrets go first: half a one, where the line is cut, would not be known as such."""
        return f"{self.at:%H:%M:%S} [{self.origin}] {harmless(redact(self.text))}"


@dataclass
class Source:
    """One file that grows. A line without a time has that of the line before it, else that of the file."""

    origin: str
    path: Path
    parse: Parse
    max_bytes: int = MAX_BYTES
    _offset: int | None = None
    _rest: bytes = b""
    _last_at: datetime | None = None

    def read(self, *, final: bool = False) -> list[LogLine]:
        """The whole lines since the last call; with `final` also one without its newline."""
        with suppress(OSError):
            fd = os.open(self.path, _OPEN)
            with os.fdopen(fd, "rb") as file:
                found = os.fstat(fd)
                if stat.S_ISREG(found.st_mode):
                    return list(self._lines(self._new_bytes(file.fileno(), found.st_size, final=final), found.st_mtime))
        return []

    def _new_bytes(self, fd: int, size: int, *, final: bool) -> bytes:
        if self._offset is None:
            self._offset = max(0, size - self.max_bytes)
        data = self._rest + os.pread(fd, self.max_bytes, self._offset)
        self._offset += len(data) - len(self._rest)
        end = len(data) if final else data.rfind(b"\n") + 1
        self._rest = data[end:]
        return data[:end]

    def _lines(self, data: bytes, written_at: float) -> Iterator[LogLine]:
        file_at = datetime.fromtimestamp(written_at, UTC)
        for line in data.decode("utf-8", "replace").splitlines():
            parsed = self.parse(line, file_at)
            if parsed is None:
                continue
            at, text = parsed
            self._last_at = at or self._last_at or file_at
            if text.strip():
                yield LogLine(self._last_at, self.origin, text)


@dataclass
class TrialLogs:
    """The files about one trial; new ones are found at each look."""

    place: TrialPlace
    with_job: bool = False
    max_bytes: int = MAX_BYTES
    _sources: dict[Path, Source] = field(default_factory=dict)

    def read(self, *, final: bool = False) -> list[LogLine]:
        """What is new since the last call, in order of time; of equal times in order of origin."""
        for source in self._found():
            self._sources.setdefault(source.path, replace(source, max_bytes=self.max_bytes))
        lines = [line for source in self._sources.values() for line in source.read(final=final)]
        return sorted(lines, key=lambda line: line.at)  # stable: the lines of one file keep their order

    def _found(self) -> Iterator[Source]:
        place = self.place
        yield Source("harness", place.files.events, _event_of(place.trial))
        yield Source("proxy", place.files.proxy / "journal" / f"{place.trial}.jsonl", _call)
        yield Source("trial", place.folder / "trial.log", _timed)
        for origin, folder in (("agent", place.folder / "agent"), ("verifier", place.folder / "verifier")):
            names = sorted(path.name for path in folder.iterdir()) if _is_real(folder) else []
            for name in names:
                if name.endswith((".log", ".txt", ".pane")):
                    yield Source(f"{origin} {harmless(name)}", folder / name, _worded)
        if self.with_job:
            yield Source("proxy.log", place.files.proxy / "proxy.log", _timed)
            yield Source("harbor.log", place.files.harbor_log, _timed)


def harmless(text: str) -> str:
    """`text` with nothing in it that a terminal would obey: what is left of control characters is written out."""
    text = _STEERING.sub("", text)
    shown = "".join(char if char.isprintable() or char == "\t" else _written_out(char) for char in text[:MAX_LINE])
    return shown + (f" … ({len(text) - MAX_LINE} more)" if len(text) > MAX_LINE else "")


def _written_out(char: str) -> str:
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _is_real(folder: Path) -> bool:
    return folder.is_dir() and not folder.is_symlink()


def _event_of(trial: str) -> Parse:
    """The lines of the event feed about `trial`; those about others are passed over."""

    def parse(line: str, _: datetime) -> tuple[datetime | None, str] | None:
        raw = _object(line)
        if raw.get("trial") != trial:
            return None
        more = {name: value for name, value in raw.items() if name not in ("event", "ts", "trial", "task_name")}
        more.pop("task_path", None)
        said = "".join(f" {name}={json.dumps(value)}" for name, value in more.items())
        return _moment(raw.get("ts")), f"{raw.get('event')}{said}"

    return parse


def _call(line: str, _: datetime) -> tuple[datetime | None, str] | None:
    """A line of the proxy's journal: a model call that begins or ends."""
    raw = _object(line)
    if not raw:
        return None
    call = f"call {str(raw.get('call_id'))[:8]}"
    if raw.get("event") != "end":
        return _moment(raw.get("at")), f"{call} {raw.get('event')}"
    gone = ", the client had gone" if raw.get("disconnected") else ""
    return _moment(
        raw.get("at")
    ), f"{call} end: {'ok' if raw.get('ok') else 'failed'}, status {raw.get('status')}{gone}"


def _timed(line: str, file_at: datetime) -> tuple[datetime | None, str]:
    """A line of text, with the time that it begins with, if it does."""
    if found := _MOMENT.match(line):
        return _moment(found[1].replace(",", ".").replace(" ", "T")), line
    if found := _CLOCK.match(line):  # LiteLLM's: local time without a day
        hour, minute, second = map(int, found.groups())
        if hour < 24 and minute < 60 and second < 60:
            at = file_at.astimezone().replace(hour=hour, minute=minute, second=second, microsecond=0)
            return (at if at <= file_at + timedelta(minutes=1) else at - timedelta(days=1)).astimezone(UTC), line
    return None, line


def _worded(line: str, file_at: datetime) -> tuple[datetime | None, str]:
    """As `_timed`; what an agent wrote as JSON, in words."""
    at, text = _timed(line, file_at)
    return at, in_words(text)


def _object(line: str) -> dict[str, Any]:
    try:
        raw = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return raw if isinstance(raw, dict) else {}


def _moment(text: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
