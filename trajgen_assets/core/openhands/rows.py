"""`output.jsonl`: one row for each instance, what of it can be used, and how each one ended.

`run_infer` counts every row as finished work, also those of errors and timeouts, and stops at a line that a kill cut
off. Here each line is accounted for: it is a row, or it is put aside with its reason.
"""

import ast
import json
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trajgen_assets.core import atomic
from trajgen_assets.core.errors import HarnessError
from trajgen_assets.core.rollout.causes import Cause, cause_of
from trajgen_assets.core.sft.messages import Json

_ITERATION_LIMIT = re.compile(r"reached maximum iteration", re.IGNORECASE)
_STUCK = re.compile(r"AgentStuckInLoop|got stuck in a loop", re.IGNORECASE)
_TIMEOUT = re.compile(r"\btimeout after\b|\btimed out after\b|EvalTimeoutException", re.IGNORECASE)
_RETRIES = re.compile(r"maximum retries", re.IGNORECASE)
_RUNTIME = re.compile(r"AgentRuntime\w*Error|runtime container|container has exited", re.IGNORECASE)
_EXCEPTION_NAME = re.compile(r"\b[A-Z]\w*(?:Error|Exception|Timeout)\b")

NOTE_LENGTH = 300


class Aside(StrEnum):
    """Why a line of `output.jsonl` is no row."""

    TORN = "torn"
    NO_JSON = "no_json"
    NO_ROW = "no_row"
    EMPTY_ID = "empty_id"
    DUPLICATE = "duplicate"
    OTHER_HARNESS = "other_harness"


class RowClass(StrEnum):
    """How an instance ended, as its row tells."""

    FINISHED = "finished"
    ITERATION_LIMIT = "iteration_limit"
    STUCK = "stuck"
    TIMEOUT = "timeout"
    RETRIES_EXCEEDED = "retries_exceeded"
    ERROR = "error"
    NO_RESULT = "no_result"


class OutputRow(BaseModel):
    """One row as OpenHands 0.35 to 0.62 writes it; keys that other programs add are kept in `model_extra`.

    Rows of timeouts have an empty `test_result` and nothing else.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    instance_id: str
    test_result: Json = Field(default_factory=dict)
    instruction: str | None = None
    metadata: Json | None = None
    history: list[Any] | None = None
    metrics: Json | None = None
    error: str | None = None
    instance: Json | None = None

    @property
    def has_patch(self) -> bool:
        """Whether the row holds a patch, be it empty; a row of a timeout holds none."""
        return isinstance(self.test_result.get("git_patch"), str)

    @property
    def patch(self) -> str:
        """What the agent changed, as `git apply` takes it; "" for nothing.

        The harness cuts the last line end off, without which git calls the patch corrupt.
        """
        text = self.test_result.get("git_patch")
        if not isinstance(text, str) or not text.strip():
            return ""
        return text if text.endswith("\n") else f"{text}\n"

    @property
    def repo(self) -> str | None:
        """`owner/name`, if the row says so."""
        value = (self.instance or {}).get("repo")
        return value if isinstance(value, str) else None

    def tests(self, column: str) -> list[str]:
        """The names in FAIL_TO_PASS or PASS_TO_PASS of the row's instance."""
        return listed_tests((self.instance or {}).get(column))


@dataclass(frozen=True)
class PutAside:
    """A line that is no row. `line` counts from 1."""

    line: int
    why: Aside
    instance_id: str
    detail: str


@dataclass(frozen=True)
class Output:
    """What one `output.jsonl` holds: rows in their order, and each other line with its reason."""

    rows: list[OutputRow] = field(default_factory=list)
    aside: list[PutAside] = field(default_factory=list)

    @property
    def is_torn(self) -> bool:
        """Whether its last line is cut off, so that `run_infer` would stop at it."""
        return any(each.why is Aside.TORN for each in self.aside)


@dataclass(frozen=True)
class RowVerdict:
    """How an instance ended. `cause` is None where the agent ended by itself and a verdict on it counts."""

    row_class: RowClass
    cause: Cause | None
    note: str | None


def read_output(path: Path) -> Output:
    """Read an `output.jsonl`; nothing is changed.

    Raises:
        HarnessError: it is not there or cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise HarnessError("the rows of a run cannot be read", where=path, why=error.strerror) from error
    return output_of(data)


def output_of(data: bytes) -> Output:
    """Return what the bytes of an `output.jsonl` hold."""
    output, seen = Output(), dict[str, int]()
    lines = data.split(b"\n")
    for number, raw in enumerate(lines, start=1):
        if not raw.strip():
            continue
        found = _row(raw, number, is_cut=number == len(lines))
        if isinstance(found, OutputRow) and (first := seen.setdefault(found.instance_id, number)) != number:
            found = PutAside(number, Aside.DUPLICATE, found.instance_id, f"line {first} is of the same instance")
        if isinstance(found, OutputRow):
            output.rows.append(found)
        else:
            output.aside.append(found)
    return output


def repair(path: Path) -> bool:
    """Take a line that a kill cut off from the end of `path`, into `<name>.torn` beside it; say whether there was one.

    A last line that is whole and lacks its line end gets it, so that the next row begins on a line of its own.
    """
    data = path.read_bytes()
    head, cut, tail = data.rpartition(b"\n")
    if not tail.strip():
        return False
    is_torn = not _is_json(tail)
    if is_torn:  # kept first: what is cut off can be looked at
        atomic.write_bytes(path.with_name(f"{path.name}.torn"), tail)
    atomic.write_bytes(path, head + cut if is_torn else data + b"\n")
    return is_torn


def remove_rows(path: Path, instance_ids: Iterable[str]) -> int:
    """Take the rows of these instances out, so that `run_infer` runs them again; return how many there were.

    The file as it was is kept as `<name>.before-retry`.
    """
    unwanted, data = set(instance_ids), path.read_bytes()
    lines = data.splitlines(keepends=True)
    kept = [line for line in lines if _id_of(line) not in unwanted]
    if len(kept) == len(lines):
        return 0
    atomic.write_bytes(path.with_name(f"{path.name}.before-retry"), data)
    atomic.write_bytes(path, b"".join(kept))
    return len(lines) - len(kept)


def judge_row(row: OutputRow) -> RowVerdict:
    """Say how the instance of a row ended, and who or what is the cause."""
    told = (row.error or "").strip()
    row_class = _class_of(row, told)
    note = told.splitlines()[-1 if told.startswith("Traceback") else 0][:NOTE_LENGTH] if told else None
    return RowVerdict(row_class, _cause(row_class, told), note or _SILENT_NOTES.get(row_class))


def listed_tests(value: Any) -> list[str]:
    """Return test names from a list, from its text as Python writes it (as `run_infer` does), or from JSON.

    Raises:
        ValueError: it is none of these.
    """
    if isinstance(value, str):
        text = value.strip()
        with suppress(ValueError, SyntaxError):
            value = ast.literal_eval(text) if text else []
        if isinstance(value, str):
            value = json.loads(text)
    if value is None:
        return []
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
        raise ValueError(f"no list of test names: {str(value)[:80]!r}")
    return list(value)


_SILENT_NOTES = {RowClass.NO_RESULT: "the row holds no history and no patch, and no error"}

_CAUSES: dict[RowClass, Cause | None] = {
    RowClass.FINISHED: None,
    RowClass.ITERATION_LIMIT: None,
    RowClass.STUCK: None,
    RowClass.TIMEOUT: Cause.AGENT_BUDGET,
    RowClass.NO_RESULT: Cause.HARNESS,
}


def _class_of(row: OutputRow, told: str) -> RowClass:
    if not told:
        return RowClass.FINISHED if row.history and row.has_patch else RowClass.NO_RESULT
    for pattern, row_class in (
        (_RETRIES, RowClass.RETRIES_EXCEEDED),
        (_ITERATION_LIMIT, RowClass.ITERATION_LIMIT),
        (_STUCK, RowClass.STUCK),
    ):
        if pattern.search(told):
            return row_class
    return RowClass.TIMEOUT if not row.history and _TIMEOUT.search(told) else RowClass.ERROR


def _cause(row_class: RowClass, told: str) -> Cause | None:
    if row_class in _CAUSES:
        return _CAUSES[row_class]
    known = (cause_of(name) for name in _EXCEPTION_NAME.findall(told))
    by_name = next((cause for cause in known if cause is not Cause.UNCLASSIFIED), None)
    if by_name is not None:
        return by_name
    return Cause.SANDBOX if _RUNTIME.search(told) else Cause.UNCLASSIFIED


def _row(raw: bytes, number: int, *, is_cut: bool) -> OutputRow | PutAside:
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        return PutAside(number, Aside.TORN if is_cut else Aside.NO_JSON, "", str(error))
    if not isinstance(value, dict):
        return PutAside(number, Aside.NO_ROW, "", "it is no object")
    try:
        row = OutputRow.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        detail = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        return PutAside(number, Aside.NO_ROW, str(value.get("instance_id") or ""), detail)
    if not row.instance_id.strip():
        return PutAside(number, Aside.EMPTY_ID, "", "it does not say of which instance it is")
    if why := _other_harness(row):
        return PutAside(number, Aside.OTHER_HARNESS, row.instance_id, why)
    return row


def _other_harness(row: OutputRow) -> str | None:
    """Why a row is not of this harness: the SDK's benchmarks write events that say their `kind`."""
    first = row.history[0] if row.history else None
    if isinstance(first, dict) and "kind" in first and "action" not in first and "observation" not in first:
        return "its history is of the OpenHands SDK's benchmarks, whose events have another form"
    return None


def _is_json(raw: bytes) -> bool:
    try:
        orjson.loads(raw)
    except orjson.JSONDecodeError:
        return False
    return True


def _id_of(line: bytes) -> str | None:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    found = value.get("instance_id") if isinstance(value, dict) else None
    return found if isinstance(found, str) else None
