"""What whoever finds an OpenHands job dead needs to know of it: where it worked, and how its patches are evaluated."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from trajgen_assets.core.atomic import write_text
from trajgen_assets.core.config.openhands import OpenHands
from trajgen_assets.core.errors import HarnessError
from trajgen_assets.core.paths import JobPaths

NAME = "openhands_job.json"


class OpenHandsJob(BaseModel):
    """The facts of one job, written before its first trial begins.

    Attributes:
        checkout: the pinned checkout, whose worktrees the processes run in.
        commit: at which it is.
        settings: `runtime_info.input.openhands` as it was then.
        evaluator_python: interpreter of the evaluator.
        evaluator_dataset: rows that the evaluator grades by; None for those of the tasks.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    checkout: Path
    commit: str
    settings: OpenHands
    evaluator_python: Path
    evaluator_dataset: Path | None = None


def write_job(files: JobPaths, job: OpenHandsJob) -> None:
    """Keep the facts with the job."""
    write_text(files.proxy / NAME, job.model_dump_json(indent=2) + "\n")


def read_job(files: JobPaths) -> OpenHandsJob | None:
    """The facts of a job; None of one that never came to its first trial.

    Raises:
        HarnessError: the file is there and cannot be read.
    """
    path = files.proxy / NAME
    try:
        return OpenHandsJob.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        why = str(error).split("\n", 1)[0]
        raise HarnessError("the facts of an OpenHands job cannot be read", where=path, why=why) from error
