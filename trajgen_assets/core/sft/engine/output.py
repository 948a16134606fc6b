"""What the converter wrote, believed only where it is what IM and LF are: read leniently, row by row, and as one.

A single fault refuses all of it: rows of a converter that writes one wrong are not to be sorted by guessing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal, NoReturn, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from trajgen_assets.core.errors import ConversionError
from trajgen_assets.core.sft.engine.converter import IM_OUTPUT, LF_OUTPUT, STATS
from trajgen_assets.core.sft.im import VERSION
from trajgen_assets.core.sft.lf import check_lf_row
from trajgen_assets.core.sft.messages import Json

NOT_TAKEN = "what swe_data_process wrote is not taken"
MEND = "report it to whoever keeps the converter, pin another commit, or set sft_conversion.engine to builtin"


class _Lenient(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow")


class _Function(_Lenient):
    name: str
    arguments: str


class _Call(_Lenient):
    function: _Function


class _Message(_Lenient):
    role: Literal["system", "user", "assistant", "tool"]
    content: str
    reasoning_content: str | None = None
    tool_calls: list[_Call] = Field(default_factory=list)

    @model_validator(mode="after")
    def _a_model_has_thoughts_or_none(self) -> Self:
        if self.role == "assistant" and self.reasoning_content is None:
            raise ValueError("a turn of the model has no reasoning_content")
        return self


class _Score(_Lenient):
    composite_score: float


class _Facts(_Lenient):
    instance_id: str = Field(alias="_instance_id")
    agent_type: Literal["main", "subagent"] | None = Field(alias="_agent_type", default=None)
    score: _Score | None = Field(alias="_score", default=None)
    metadata: dict[str, Any] | None = Field(alias="_instance_metadata", default=None)


class _Meta(_Lenient):
    teacher: str
    language: str
    unique_info: _Facts


class _ImRow(_Lenient):
    version: str = Field(pattern=f"^{VERSION}$")
    meta_info: _Meta
    tools: list[dict[str, Any]]
    messages: list[_Message] = Field(min_length=1)


class _LfTurn(_Lenient):
    role: str
    content: str


class _LfRow(_Lenient):
    messages: list[_LfTurn] = Field(min_length=1)
    instance_id: str = Field(alias="_instance_id")


@dataclass(frozen=True)
class Pair:
    """A row of im.jsonl, and the row of lf.json that was made of it."""

    im: Json
    lf: Json
    task_id: str


def pairs_in(folder: Path) -> Iterator[Pair]:
    """Yield the rows of both files, in their order.

    Raises:
        ConversionError: a file is missing or breaks off, a row is none of its format, or the two do not fit together.
    """
    rows = zip_longest(_im_rows(folder / IM_OUTPUT), _lf_rows(folder / LF_OUTPUT))
    for number, (im, lf) in enumerate(rows, start=1):
        if im is None or lf is None:
            _refuse(f"{IM_OUTPUT} and {LF_OUTPUT} have different numbers of rows", f"row {number}")
        (row, task_id), (lf_row, lf_task_id) = im, lf
        if task_id != lf_task_id:
            _refuse(f"{LF_OUTPUT} has {lf_task_id} where {IM_OUTPUT} has {task_id}", f"row {number}")
        yield Pair(row, lf_row, task_id)


def stats_in(folder: Path, n_rows: int) -> Json | None:
    """Return the statistics of so many rows; None where there is no row and no file, as the converter leaves it then.

    Raises:
        ConversionError: they are missing, cannot be read, or are of another number of rows.
    """
    path = folder / STATS
    if not n_rows and not path.exists():
        return None
    try:
        stats = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        _refuse(error.strerror if isinstance(error, OSError) else error, STATS)
    if not isinstance(stats, dict) or (n_rows and stats.get("count") != n_rows):
        _refuse(f"it is not about {n_rows} rows", STATS)
    return stats


def _im_rows(path: Path) -> Iterator[tuple[Json, str]]:
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                yield _im_row(line, f"{path.name}, row {number}")
    except OSError as error:
        _refuse(error.strerror, path.name)


def _im_row(line: bytes, where: str) -> tuple[Json, str]:
    try:
        facts = _ImRow.model_validate_json(line).meta_info.unique_info
    except ValidationError as error:
        _refuse(_first_fault(error), where)
    row: Json = orjson.loads(line)
    return row, facts.instance_id


def _lf_rows(path: Path) -> Iterator[tuple[Json, str]]:
    """Read the whole array: it is one value over many lines, and the converter had all of it in memory, too."""
    try:
        rows = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        _refuse(error.strerror if isinstance(error, OSError) else error, path.name)
    if not isinstance(rows, list):
        _refuse("it is no array", path.name)
    for number, row in enumerate(rows, start=1):
        yield row, _lf_task_id(row, f"{path.name}, row {number}")


def _lf_task_id(row: Any, where: str) -> str:
    try:
        task_id = _LfRow.model_validate(row).instance_id
    except ValidationError as error:
        _refuse(_first_fault(error), where)
    if fault := check_lf_row(row):
        _refuse(f"LLaMA-Factory would not load it: {fault}", where)
    return task_id


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, fault['loc'])) or 'the whole'}: {fault['msg']}"


def _refuse(why: object, where: str) -> NoReturn:
    raise ConversionError(NOT_TAKEN, where=where, why=why, mend=MEND)
