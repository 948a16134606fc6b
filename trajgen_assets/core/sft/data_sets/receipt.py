"""`receipt.json` of a data set: for each job, what of its rows is in it and why the rest is not.

As that of a job it holds no time of day and no path of a machine.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from trajgen_assets.core import atomic
from trajgen_assets.core.sft.data_sets.selection import Selection
from trajgen_assets.core.sft.receipt import Balance, FileDigest, SftPaths, stands

_STRICT = ConfigDict(strict=True, frozen=True, extra="forbid")


class JobPart(BaseModel):
    """What one job gave.

    Attributes:
        signature: of its conversion, as in its own receipt.
        im: its im.jsonl, all rows of which went in.
    """

    model_config = _STRICT

    job: str
    scaffold: str
    signature: str
    im: FileDigest
    rows: Balance


class TaskCounts(BaseModel):
    """How often tasks stand in a data set."""

    model_config = _STRICT

    n_tasks: int = Field(default=0, description="Tasks with a kept row.")
    n_in_several_jobs: int = Field(default=0, description="Tasks with a row, kept or not, of more than one job.")
    rows_per_task: dict[str, int] = Field(default_factory=dict, description="Number of kept rows to number of tasks.")


class Variant(BaseModel):
    """One value of a setting that not all jobs were converted with, and which were."""

    model_config = _STRICT

    value: Any
    jobs: tuple[str, ...]


class DataSetReceipt(BaseModel):
    """One build of a data set.

    Attributes:
        changed: whether the call that returned this wrote anything. Not stored.
        folder: where the files lie. Not stored.
    """

    model_config = _STRICT

    schema_version: Literal[1] = 1
    data_set: str
    code_version: str
    signature: str
    selection: Selection
    lf_format: str
    jobs: tuple[JobPart, ...]
    rows: Balance
    tasks: TaskCounts
    differences: dict[str, tuple[Variant, ...]] = Field(
        default_factory=dict, description="Settings of conversion that differ between the jobs."
    )
    files: dict[str, FileDigest]
    changed: bool = Field(default=True, exclude=True)
    folder: Path = Field(default=Path(), exclude=True)

    @property
    def is_whole(self) -> bool:
        """Whether all files still lie in the folder as they were written."""
        return stands(self.files, self.folder)

    @model_validator(mode="after")
    def _balances(self) -> Self:
        if total(part.rows for part in self.jobs) != self.rows:
            raise ValueError("the rows are not the sum of what the jobs gave")
        return self


def total(balances: Iterable[Balance]) -> Balance:
    """Add balances up."""
    added = Balance()
    for each in balances:
        reasons = sorted({*added.rejected, *each.rejected})
        rejected = {reason: added.rejected.get(reason, 0) + each.rejected.get(reason, 0) for reason in reasons}
        added = Balance(n_in=added.n_in + each.n_in, n_kept=added.n_kept + each.n_kept, rejected=rejected)
    return added


def load_data_set(folder: Path) -> DataSetReceipt | None:
    """Read the receipt of a data set, or None when there is none that this version can read."""
    try:
        receipt = DataSetReceipt.model_validate_json(SftPaths(folder).receipt.read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValidationError):
        return None
    return receipt.model_copy(update={"folder": folder})


def write_data_set(receipt: DataSetReceipt) -> None:
    """Write a receipt into its folder, atomically and durably."""
    atomic.write_json(SftPaths(receipt.folder).receipt, receipt.model_dump(mode="json"))
