"""Reading a ledger that is YAML: our published view, edited or not, and both shapes of the earlier system.

Read event by event and not as objects, because each fault is told with its line, ids that look like numbers or dates
stay text, and depth is bounded.
"""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any, TypeVar

import yaml

from trajgen_assets.core.errors import ImportRefusedError
from trajgen_assets.core.keys import is_safe_name
from trajgen_assets.core.ledger.models import TaskStatus

MAX_DEPTH = 12
N_PROBLEMS_SHOWN = 10

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml, ten times as fast, where PyYAML has it
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class PublishedTask:
    """One entry of a published ledger. What the earlier system did not write is None; `line` counts from one.

    `n_attempts` is there only in our own view: it tells whether the entry is older than what the ledger knows.
    """

    line: int
    task_id: str
    status: TaskStatus
    submitted_at: datetime | None = None
    completed_at: datetime | None = None
    trajectory_path: str | None = None
    reward: float | None = None
    note: str | None = None
    dataset: str | None = None
    campaign: str | None = None
    digest: str | None = None
    n_attempts: int | None = None


def read_published(data: bytes, where: object) -> list[PublishedTask]:
    """The entries of a published ledger, in its order.

    Two shapes are read: a list `runs` of entries with a `task_id`, and a mapping `tasks` from id to entry. Fields
    that are not known are passed over, since the earlier system's were written by hand.

    Raises:
        ImportRefusedError: it is neither shape, or an entry has no id, an unknown status or a reward that is no number.
            It names every fault with its line; nothing is concluded from such a file.
    """
    root = _parse(data, where)
    if not isinstance(root, _Mapping):
        raise _neither(where, "it is no mapping")
    faults: list[str] = []
    found = [
        task
        for line, task_id, fields in _entries(root, where, faults)
        if (task := _task(line, task_id, fields, faults))
    ]
    if faults:
        shown = "; ".join(faults[:N_PROBLEMS_SHOWN])
        more = f"; and {len(faults) - N_PROBLEMS_SHOWN} more" if len(faults) > N_PROBLEMS_SHOWN else ""
        raise ImportRefusedError(
            "this ledger cannot be imported",
            where=where,
            why=shown + more,
            mend="correct these lines; nothing was taken",
        )
    return found


def as_json(view: bytes) -> bytes:
    """A published view as indented JSON: the same fields and values."""
    return (json.dumps(yaml.load(view, Loader=_LOADER), indent=2) + "\n").encode()  # noqa: S506  a safe loader


@dataclass(slots=True)
class _Scalar:
    line: int
    text: str | None


@dataclass(slots=True)
class _List:
    line: int
    items: list[Any]


@dataclass(slots=True)
class _Mapping:
    line: int
    items: dict[str, Any]
    repeated: list[tuple[int, str]]


_Node = _Scalar | _List | _Mapping


def _neither(where: object, why: str) -> ImportRefusedError:
    mend = "give a file with a list `runs` of entries with `task_id`, or with a mapping `tasks` from id to entry"
    return ImportRefusedError("this is no published ledger", where=where, why=why, mend=mend)


def _parse(data: bytes, where: object) -> _Node:
    try:
        text = data.decode("utf-8-sig")
        reader = _Reader(yaml.parse(text, Loader=_LOADER))
        node = reader.document()
    except UnicodeDecodeError as error:
        raise _neither(where, f"it is not UTF-8 (byte {error.start})") from None
    except (yaml.YAMLError, ValueError) as error:
        raise _neither(where, " ".join(str(error).split())) from error
    if node is None:
        raise _neither(where, "it is empty")
    return node


class _Reader:
    """Builds plain nodes from YAML's events."""

    def __init__(self, events: Iterator[Any]) -> None:
        self._events = events
        self._anchors: dict[str, _Node] = {}

    def document(self) -> _Node | None:
        for event in self._events:
            if isinstance(event, yaml.NodeEvent):
                return self._node(event, 0)
        return None

    def _node(self, event: Any, depth: int) -> _Node:
        line = event.start_mark.line + 1
        if depth > MAX_DEPTH:
            raise ValueError(f"line {line}: nested deeper than {MAX_DEPTH} levels")
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                raise ValueError(f"line {line}: the alias *{event.anchor} stands for nothing")
            return self._anchors[event.anchor]
        node = self._built(event, line, depth)
        if event.anchor:
            self._anchors[event.anchor] = node
        return node

    def _built(self, event: Any, line: int, depth: int) -> _Node:
        if isinstance(event, yaml.ScalarEvent):
            is_null = event.value in _NULLS and event.implicit[0]
            return _Scalar(line, None if is_null else event.value)
        if isinstance(event, yaml.SequenceStartEvent):
            return _List(line, list(self._nodes(yaml.SequenceEndEvent, depth)))
        mapping = _Mapping(line, {}, [])
        nodes = self._nodes(yaml.MappingEndEvent, depth)
        for key in nodes:
            name = (key.text or "") if isinstance(key, _Scalar) else ""
            if name in mapping.items:
                mapping.repeated.append((key.line, name))
            mapping.items[name] = next(nodes)
        return mapping

    def _nodes(self, end: type, depth: int) -> Iterator[_Node]:
        while not isinstance(event := next(self._events), end):
            yield self._node(event, depth + 1)


def _entries(root: _Mapping, where: object, faults: list[str]) -> Iterator[tuple[int, str | None, _Mapping]]:
    """Line, id and fields of each entry, of whichever shape; the id is None where there is none."""
    runs, tasks = root.items.get("runs"), root.items.get("tasks")
    if isinstance(runs, _List):
        yield from _of_list(runs, faults)
    elif isinstance(tasks, _Mapping):
        faults.extend(f"line {line}: {name[:80]} is there twice" for line, name in tasks.repeated)
        for task_id, node in tasks.items.items():
            fields = node if isinstance(node, _Mapping) else _Mapping(node.line, {"status": node}, [])
            yield fields.line, task_id, fields
    else:
        raise _neither(where, "it has neither a list `runs` nor a mapping `tasks`")


def _of_list(runs: _List, faults: list[str]) -> Iterator[tuple[int, str | None, _Mapping]]:
    for node in runs.items:
        if not isinstance(node, _Mapping):
            faults.append(f"line {node.line}: this is no entry with fields")
            continue
        given = node.items.get("task_id")
        yield node.line, given.text if isinstance(given, _Scalar) else None, node


def _task(line: int, task_id: str | None, fields: _Mapping, faults: list[str]) -> PublishedTask | None:
    n_before = len(faults)
    if task_id is None or not is_safe_name(task_id):
        said = "it has no task_id" if task_id is None else f"{task_id[:80]!r} cannot be a task id"
        faults.append(f"line {line}: {said}")
    status = _status(line, _text(fields, "status"), faults)
    reward = _converted(fields, "reward", _finite, faults)
    n_attempts = _converted(fields, "attempts", int, faults)
    dataset, campaign = (_name(fields, name, faults) for name in ("dataset", "campaign"))
    times = {name: _time(_text(fields, name)) for name in ("submitted_at", "completed_at")}
    if task_id is None or status is None or len(faults) > n_before:
        return None
    return PublishedTask(
        line,
        task_id,
        status,
        times["submitted_at"],
        times["completed_at"],
        _under_root(_text(fields, "trajectory_path")),
        reward,
        _note(fields, times),
        dataset,
        campaign,
        _text(fields, "digest"),
        n_attempts,
    )


def _status(line: int, text: str | None, faults: list[str]) -> TaskStatus | None:
    known = [status.value for status in TaskStatus]
    if text in known:
        return TaskStatus(text)
    near = get_close_matches((text or "").lower(), known, n=1)
    nearest = f"the nearest is {near[0]}" if near else f"known: {', '.join(known)}"
    faults.append(f"line {line}: status {text[:40]!r} is not known; {nearest}" if text else f"line {line}: no status")
    return None


def _text(fields: _Mapping, name: str) -> str | None:
    node = fields.items.get(name)
    return node.text if isinstance(node, _Scalar) else None


def _name(fields: _Mapping, name: str, faults: list[str]) -> str | None:
    text = _text(fields, name)
    if text is not None and not is_safe_name(text):
        faults.append(f"line {fields.items[name].line}: {name} {text[:80]!r} cannot be used as a name")
    return text


def _converted(fields: _Mapping, name: str, convert: Callable[[str], _T], faults: list[str]) -> _T | None:
    text = _text(fields, name)
    if text is None:
        return None
    try:
        return convert(text)
    except ValueError:
        faults.append(f"line {fields.items[name].line}: {name} {text[:40]!r} is no number")
        return None


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _time(text: str | None) -> datetime | None:
    """A time as people write it; one without a zone is taken for UTC, and words are None."""
    try:
        moment = datetime.fromisoformat((text or "").strip().replace(" UTC", "+00:00"))
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _note(fields: _Mapping, times: dict[str, datetime | None]) -> str | None:
    """The note, with times that are words behind it: they were free text in the earlier system."""
    words = [f"{name}: {text}" for name, moment in times.items() if moment is None and (text := _text(fields, name))]
    note = _text(fields, "note") or _text(fields, "error")
    return "; ".join(part for part in (note, *words) if part) or None


def _under_root(path: str | None) -> str | None:
    """A path under the root: the earlier system wrote them from the folder that holds `artifacts/`."""
    return path.removeprefix("./").removeprefix("artifacts/") if path else None
