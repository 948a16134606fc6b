"""While a job runs: does every model call that the proxy served get its record?

Custom auth writes down when the proxy is done with a call, and the logger, which knows nothing of that, when its
record is written. Where the two part, LiteLLM has stopped calling the logger, which it does in silence.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

from trajgen_assets.core.capture.records import iter_lines
from trajgen_assets.core.counting import count_of
from trajgen_assets.core.growing import GrowingFile

LOOK_EVERY_S = 2.0

# A record follows the answer within milliseconds; LiteLLM calls the logger from a queue and gives each call 20 s.
GRACE_S = 60.0

# One trial whose record is lost has a gap, and that is all. Two have a common cause.
N_TRIALS = 2


@dataclass
class Tails:
    """The files `<trial>.jsonl` of a folder, those that appear later included."""

    folder: Path
    _known: dict[str, GrowingFile] = field(default_factory=dict)

    def read(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Trial and line, for all that is new since the last call."""
        for path in self.folder.glob("*.jsonl"):
            file = self._known.setdefault(path.name, GrowingFile(path))
            yield from ((path.stem, line) for line in _new_lines(file))


@dataclass(frozen=True)
class Served:
    """A call that the proxy is done with and whose record is still to come. `at` is on the monotonic clock."""

    trial: str
    at: float


@dataclass
class CaptureWatch:
    """Holds the calls that a proxy served against those that its logger wrote down, from what is new in its files."""

    proxy_dir: Path
    grace_s: float = GRACE_S
    every_s: float = LOOK_EVERY_S
    _waiting: dict[str, Served] = field(default_factory=dict)
    _recorded: set[str] = field(default_factory=set)  # before they were served
    _broken: dict[str, str] = field(default_factory=dict)
    _last_look: float = float("-inf")
    _last_record: float = float("-inf")

    def __post_init__(self) -> None:
        self._served = Tails(self.proxy_dir / "served")
        self._journal = Tails(self.proxy_dir / "journal")
        self._lost = GrowingFile(self.proxy_dir / "broken")

    def look(self) -> str | None:
        """Why nothing of this job is to be trusted any more; None while all is well.

        A lost record is a gap of its trial. It speaks against the job if another trial lost one, too, or if no call
        of any trial was recorded since.
        """
        moment = time.monotonic()
        if moment - self._last_look < self.every_s:
            return None
        self._last_look = moment
        self._take_in(moment)
        return self._unwritten() or self._unrecorded(moment)

    def _take_in(self, moment: float) -> None:
        for trial, line in self._served.read():
            self._waiting[_call_id(line)] = Served(trial, moment)
        for _, line in self._journal.read():
            if line.get("event") == "end":
                self._last_record = moment
                self._recorded.add(_call_id(line))
        both = self._waiting.keys() & self._recorded
        self._recorded -= both
        for call_id in both:
            del self._waiting[call_id]
        self._broken |= {str(line.get("trial")): str(line.get("lost")) for line in _new_lines(self._lost)}

    def _unwritten(self) -> str | None:
        if "logger" in self._broken.values():
            return "the trajectory logger is no longer registered with LiteLLM"
        if len(self._broken) >= N_TRIALS:
            return f"lines about the calls of {len(self._broken)} trials could not be written"
        return None

    def _unrecorded(self, moment: float) -> str | None:
        overdue = [served for served in self._waiting.values() if moment - served.at > self.grace_s]
        trials = {served.trial for served in overdue}
        is_deaf = bool(overdue) and self._last_record <= min(served.at for served in overdue)
        if len(trials) < N_TRIALS and not is_deaf:
            return None
        named = ", ".join(sorted(trials)[:3])
        return f"{count_of(len(overdue), 'call')} of {named} left no record {self.grace_s:g} s after the answer"


def _new_lines(file: GrowingFile) -> list[dict[str, Any]]:
    """Torn ones are passed over."""
    return [line.value for line in iter_lines(BytesIO(file.read())) if line.value is not None]


def _call_id(line: dict[str, Any]) -> str:
    return str(line.get("call_id"))
