"""`trials.json`: what a job did with each of its tasks, complete enough that nothing later needs the task source."""

import math
from collections.abc import Collection, Mapping
from datetime import date, datetime, time
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    field_validator,
    model_validator,
)

from trajgen_assets.core import atomic
from trajgen_assets.core.errors import ConversionError
from trajgen_assets.core.paths import JobPaths
from trajgen_assets.core.rollout.fix import FixRecord

_STRICT = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)

TrialStatus = Literal["done", "failed", "pending", "running", "skipped"]
CaptureVerdict = Literal["complete", "cut", "gap"]


def as_json_value(value: Any) -> Any:
    """Return `value` as JSON can hold it: TOML dates and times as ISO text, non-finite numbers as their names."""
    if isinstance(value, Mapping):
        return {str(key): as_json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_json_value(item) for item in value]
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


class TaskRecord(BaseModel):
    """A task as it was when it was rolled out."""

    model_config = _STRICT

    digest: str
    instruction: str
    metadata: Annotated[dict[str, JsonValue], BeforeValidator(as_json_value)] = Field(
        default_factory=dict, description="The [metadata] table of task.toml."
    )
    fix: FixRecord | None = Field(
        default=None, description="What solution/fix.patch changes; none without one, and in older files."
    )
    memory_mb: int | None = Field(
        default=None, ge=1, description="What its sandbox was given by a retry with more memory."
    )


class AgentRecord(BaseModel):
    """The agent of a job, as Harbor names it."""

    model_config = _STRICT

    name: str
    version: str | None = None


# A trial that Harbor set up and that found its job stopped: nothing of it began.
NOT_BEGUN = "not begun"
NOT_BEGUN_NOTE = f"{NOT_BEGUN}: its job was stopped before"
STOPPED_ERROR = "JobStoppedError"


def was_begun(note: str | None) -> bool:
    """Whether the trial of this note began. Older notes have the error itself, and the path of a file in it."""
    return note is None or not note.startswith((NOT_BEGUN_NOTE, f"{STOPPED_ERROR}:"))


class TrialEntry(BaseModel):
    """One attempt at one task, and where its trajectory lies.

    An accepted entry is done, has a reward, and names its trial and trajectory.
    """

    model_config = _STRICT

    task_id: str
    task_key: str
    trial_name: str | None = Field(
        default=None, description="Harbor's name, which is also the folder; none before it began."
    )
    attempt: int = Field(ge=1)
    accepted: bool
    status: TrialStatus
    cause: str | None = None
    note: str | None = None
    reward: float | None = None
    capture: CaptureVerdict | None = None
    trajectory: str | None = Field(default=None, description="Relative to the job folder, with forward slashes.")
    trajectory_sha256: str | None = None
    task: TaskRecord
    n_input_tokens: int | None = None
    n_output_tokens: int | None = None
    n_cache_tokens: int | None = None
    cost_usd: float | None = None
    started_at: AwareDatetime | None = None
    finished_at: AwareDatetime | None = None
    duration_s: float | None = None

    @property
    def shortfall(self) -> str:
        """Why it gave no valid result, in a line for people."""
        return f"no valid result ({self.cause}): {self.note}" if was_begun(self.note) else NOT_BEGUN

    @field_validator("trajectory")
    @classmethod
    def _stays_inside_the_job(cls, value: str | None) -> str | None:
        if value is not None and (PurePosixPath(value).is_absolute() or ".." in PurePosixPath(value).parts):
            raise ValueError("leads outside the job folder")
        return value

    @model_validator(mode="after")
    def _accepted_means_usable(self) -> Self:
        if self.accepted and (self.status != "done" or None in (self.reward, self.trial_name, self.trajectory)):
            raise ValueError("an accepted trial is done and has a reward, a name and a trajectory")
        return self


class TrialsFile(BaseModel):
    """Every trial of one job, in the order in which the job recorded them."""

    model_config = _STRICT

    schema_version: Literal[1] = 1
    job: str
    dataset: str
    campaign: str
    scaffold: str
    agent: AgentRecord
    model: str = Field(description="<provider>/<model> as the job asked for it.")
    trials: tuple[TrialEntry, ...] = ()

    @model_validator(mode="after")
    def _trial_names_are_unique(self) -> Self:
        names = [entry.trial_name for entry in self.trials if entry.trial_name is not None]
        if len(set(names)) != len(names):
            raise ValueError("two entries share one trial name")
        return self


def is_removed(files: JobPaths) -> bool:
    """Whether the trajectories of a job were removed, as its folder says."""
    return files.removed.exists()


def load_trials(path: Path) -> TrialsFile:
    """Read `trials.json`.

    Raises:
        ConversionError: it is missing, or not a file of ours.
    """
    try:
        return TrialsFile.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise ConversionError(
            "the job has no trials.json", where=path, mend="name a job that was rolled out here, and let it end first"
        ) from error
    except ValidationError as error:
        raise ConversionError(
            "trials.json cannot be read", where=path, why=_first_fault(error), mend="rebuild it from the ledger"
        ) from error


def write_trials(path: Path, file: TrialsFile) -> None:
    """Write `trials.json`, atomically and durably."""
    atomic.write_json(path, file.model_dump(mode="json"))


def supersede(path: Path, trial_names: Collection[str]) -> None:
    """Take back the acceptance of these trials in `trials.json`: a person had their tasks rolled out again."""
    file = load_trials(path)
    gone = {"accepted": False, "note": "superseded: the task was rolled out again by force"}
    trials = [
        entry.model_copy(update=gone) if entry.accepted and entry.trial_name in trial_names else entry
        for entry in file.trials
    ]
    if tuple(trials) != file.trials:
        write_trials(path, file.model_copy(update={"trials": tuple(trials)}))


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, fault['loc'])) or 'whole file'}: {fault['msg']}"
