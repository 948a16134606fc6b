"""What the files of one trial say about its model calls: admitted, begun, ended, recorded."""

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from trajgen_assets.core.capture.records import Line, iter_lines, iter_records
from trajgen_assets.core.capture.stored import opened

KEPT_FIELDS = ("success", "client_disconnected", "usage")

# An agent that is ended leaves its calls a moment before its key is closed.
SERVED_BEFORE_S = 10.0


@dataclass
class Calls:
    """What custom auth and the journal say, by call id.

    `answered` calls had an attempt that succeeded, `failed` calls none so far: LiteLLM may tell of a failed attempt
    only after the retry that succeeded. `served` calls are those that the proxy was done with well before the trial's
    end. `n_lost` counts records that the logger could not write.
    """

    admitted: set[str] = field(default_factory=set)
    begun: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)
    answered: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    served: set[str] = field(default_factory=set)
    n_lost: int = 0


@dataclass
class Records:
    """What the trajectory file holds. `last` is the record of each call that counts, less its bodies.

    That is the one of its success, or else the last of them.
    """

    last: dict[str, dict[str, Any]] = field(default_factory=dict)
    n_records: int = 0
    n_torn_lines: int = 0
    is_cut_off: bool = False
    size_bytes: int = 0
    sha256: str | None = None


def trajectory_file(proxy_dir: Path, trial: str) -> Path:
    """Where the logger writes the records of `trial`."""
    return proxy_dir / "trajectories" / f"{trial}.jsonl"


def read_calls(proxy_dir: Path, trial: str) -> Calls:
    """What custom auth and the logger's journal say about `trial`. Torn lines count for nothing here."""
    calls = Calls()
    calls.admitted = {_call_id(event) for event in _values(proxy_dir / "admitted" / f"{trial}.jsonl")}
    for event in _values(proxy_dir / "journal" / f"{trial}.jsonl"):
        _note(calls, event)
    calls.served = {_call_id(event) for event in _served_in_time(proxy_dir, trial)}
    lost = (event for event in _values(proxy_dir / "broken") if event.get("trial") == trial)
    calls.n_lost = sum(event.get("lost") == "record" for event in lost)
    return calls


def ended_at(proxy_dir: Path, trial: str) -> float | None:
    """When the trial's key was closed, in epoch seconds; None while it is open."""
    try:
        return (proxy_dir / "ended" / trial).lstat().st_mtime
    except FileNotFoundError:
        return None


def _served_in_time(proxy_dir: Path, trial: str) -> Iterable[Mapping[str, Any]]:
    """Calls that the trial's end does not explain: they were over by then, and their records due."""
    end = ended_at(proxy_dir, trial)
    for event in _values(proxy_dir / "served" / f"{trial}.jsonl") if end is not None else ():
        if end is not None and end - _epoch_s(event.get("at")) > SERVED_BEFORE_S:
            yield event


def _epoch_s(moment: object) -> float:
    try:
        return datetime.fromisoformat(str(moment)).timestamp()
    except ValueError:
        return math.inf


def _note(calls: Calls, event: Mapping[str, Any]) -> None:
    call_id = _call_id(event)
    if event.get("event") != "end":
        calls.begun.add(call_id)
        return
    calls.ended.add(call_id)
    (calls.answered if event.get("ok") is True else calls.failed).add(call_id)
    calls.failed -= calls.answered


def _values(path: Path) -> Iterable[dict[str, Any]]:
    return (line.value for line in iter_records(path) if line.value is not None)


def _call_id(event: Mapping[str, Any]) -> str:
    return str(event.get("call_id"))


def read_records(proxy_dir: Path, trial: str) -> Records:
    """What the trajectory of `trial` holds, where the logger wrote it."""
    try:
        with opened(trajectory_file(proxy_dir, trial)) as source:
            return tally(source, None)
    except FileNotFoundError:
        return Records()


def tally(source: IO[bytes], copy: IO[bytes] | None) -> Records:
    """Count what `source` holds while it is copied: verdict, digest and copy are of the same bytes."""
    records, digest = Records(), hashlib.sha256()
    for line in iter_lines(source):
        digest.update(line.data)
        records.size_bytes += len(line.data)
        if copy is not None:
            copy.write(line.data)
        _count(records, line)
    records.sha256 = digest.hexdigest()
    return records


def _count(records: Records, line: Line) -> None:
    if line.value is None:
        records.n_torn_lines += 1
        records.is_cut_off = line.is_cut_off
        return
    records.n_records += 1
    call_id = _call_id(line.value)
    if call_id not in records.last or records.last[call_id]["success"] is not True:
        records.last[call_id] = {name: line.value.get(name) for name in KEPT_FIELDS}
