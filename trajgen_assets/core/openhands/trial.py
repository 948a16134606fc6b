"""One trial of OpenHands: where its parts lie, how it begins, and the result that it ends with.

Its folder has the two files that every harness leaves (`config.json`, `result.json`), the log of its process, its patch
as a Harbor trial has it, and `openhands.json`: what the harness itself recorded, beside the row in the job's
`openhands/` folder.
"""

import hashlib
import json
import re
import secrets
import string
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict

from trajgen_assets.core.atomic import write_bytes, write_json, write_text
from trajgen_assets.core.clock import stamp
from trajgen_assets.core.openhands.evaluation import Evaluation
from trajgen_assets.core.openhands.history import openhands_version
from trajgen_assets.core.openhands.layout import TOOL_CALLS_NAME, RunFolder
from trajgen_assets.core.openhands.metrics import metrics_of
from trajgen_assets.core.openhands.records import write_tool_calls
from trajgen_assets.core.openhands.rows import OutputRow
from trajgen_assets.core.paths import JobPaths
from trajgen_assets.core.rollout.patch import PatchRecord
from trajgen_assets.core.sft.messages import Json

OUTPUTS = "openhands"
RECORD_NAME = "openhands.json"
LOG_NAME = "run_infer.log"

# As Harbor names trials, so that a name tells its task and no two are equal.
_ID_LENGTH = 32
_TAIL = string.ascii_letters + string.digits
_N_TAIL = 7

_FILE_IN_DIFF = re.compile(r"^diff --git ", re.MULTILINE)


@dataclass(frozen=True)
class Trial:
    """Name and places of one trial; `run` is the folder that its process makes."""

    name: str
    task_id: str
    task_dir: Path
    files: JobPaths
    run: RunFolder

    @property
    def folder(self) -> Path:
        return self.files.trial(self.name)

    @property
    def log(self) -> Path:
        """What `run_infer` printed."""
        return self.folder / "agent" / LOG_NAME

    @property
    def evaluation(self) -> Path:
        """Where its patch is evaluated; the evaluator's own log is shown with the trial."""
        return self.folder / "verifier"

    @property
    def is_over(self) -> bool:
        """Whether it has a result."""
        return (self.folder / "result.json").exists()

    def n_completions(self) -> int:
        """How many answers of the model lie there: the only progress of an instance that every setting shows."""
        folder = self.run.completions(self.task_id)
        return sum(1 for _ in folder.iterdir()) if folder.is_dir() else 0

    def last_words(self) -> str:
        """The last line of its log that is no word about its files."""
        try:
            lines = self.log.read_text(errors="replace").split("\n")
        except OSError:
            return ""
        return next((line.strip() for line in reversed(lines) if line.strip() and "### OUTPUT FILE" not in line), "")


class HarnessRecord(BaseModel):
    """`openhands.json`: what the harness recorded of a trial, less its history.

    Attributes:
        run: folder of the run, relative to that of the job.
        row_class: how the instance ended, as its row tells; None without a row.
        error: of the row.
        verdict: class of the evaluation; None if there was none.
        verdict_why: its reason, in words.
        metadata: of the row, or `metadata.json` where the row has none; no key is in it.
        metrics: tokens, cost and calls as the harness counted them.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    instance_id: str
    run: str
    row_class: str | None = None
    error: str | None = None
    verdict: str | None = None
    verdict_why: str | None = None
    metadata: Json | None = None
    metrics: Json | None = None

    @classmethod
    def of(cls, run: str, row: OutputRow, evaluation: Evaluation | None, row_class: str | None) -> Self:
        """What a row and its evaluation say."""
        return cls(
            instance_id=row.instance_id,
            run=run,
            row_class=row_class,
            error=row.error,
            verdict=evaluation.found.value if evaluation else None,
            verdict_why=evaluation.why if evaluation else None,
            metadata=row.metadata,
            metrics=row.metrics,
        )


@dataclass(frozen=True)
class Ending:
    """How a trial ended.

    Attributes:
        error: name of an exception that `causes.py` knows, and what there is to say; None where all went well.
        evaluation: of its patch, if it came so far.
    """

    error: tuple[str, str] | None = None
    row: OutputRow | None = None
    row_class: str | None = None
    evaluation: Evaluation | None = None


def trial_name(task_id: str) -> str:
    """`<task id, cut>__<seven letters or digits>`."""
    return f"{task_id[:_ID_LENGTH].rstrip('._-')}__{''.join(secrets.choice(_TAIL) for _ in range(_N_TAIL))}"


def begin(trial: Trial) -> None:
    """Write `config.json`, by which a trial has begun; there `task.path` leads to its task."""
    for part in ("agent", "verifier", "artifacts"):
        (trial.folder / part).mkdir(parents=True, exist_ok=True)
    run = str(trial.run.path.relative_to(trial.files.dir))
    write_json(trial.folder / "config.json", {"task": {"path": str(trial.task_dir)}, "openhands": {"run": run}})


def begun_trials(files: JobPaths) -> Iterator[Trial]:
    """Every trial that began in a job, in the order of their names."""
    for path in sorted(files.dir.glob("*/config.json")):
        try:
            config = json.loads(path.read_bytes())
            task_dir, run = Path(config["task"]["path"]), files.dir / config["openhands"]["run"]
        except (OSError, ValueError, KeyError, TypeError):  # settled as one that left nothing
            continue
        yield Trial(path.parent.name, task_dir.name, task_dir, files, RunFolder(run))


def finish(trial: Trial, ending: Ending, *, started_at: str, agent: str) -> None:
    """Write what is left of a trial; `result.json` last, by which it is over. Safe to repeat."""
    row = ending.row
    if row is not None and row.has_patch:
        _keep_patch(trial, row.patch)
    if row is not None:
        calls = trial.folder / "agent" / TOOL_CALLS_NAME
        write_tool_calls(calls, row, trial.run.completions(trial.task_id), trial.name)
    write_text(trial.folder / RECORD_NAME, _record(trial, ending).model_dump_json(indent=2) + "\n")
    write_json(trial.folder / "result.json", _result(trial, ending, started_at, agent))


def _record(trial: Trial, ending: Ending) -> HarnessRecord:
    row, run = ending.row, str(trial.run.path.relative_to(trial.files.dir))
    if row is None:
        return HarnessRecord(instance_id=trial.task_id, run=run, metadata=_metadata(trial.run))
    record = HarnessRecord.of(run, row, ending.evaluation, ending.row_class)
    return record if record.metadata else record.model_copy(update={"metadata": _metadata(trial.run)})


def _metadata(run: RunFolder) -> Json | None:
    try:
        found = json.loads(run.metadata.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _result(trial: Trial, ending: Ending, started_at: str, agent: str) -> dict[str, Any]:
    """The form is that of `rollout/results.py`."""
    counted = metrics_of(ending.row.metrics if ending.row else None)
    reward = ending.evaluation.reward if ending.evaluation else None
    error = ending.error
    return {
        "trial_name": trial.name,
        "task_name": trial.task_id,
        "config": {"task": {"path": str(trial.task_dir)}},
        "agent_info": {"name": agent, "version": _version(ending.row)},
        "agent_result": {
            "n_input_tokens": counted.n_input_tokens,
            "n_cache_tokens": counted.n_cache_tokens,
            "n_output_tokens": counted.n_output_tokens,
            "cost_usd": counted.cost_usd,
        },
        "verifier_result": None if reward is None else {"rewards": {"reward": reward}},
        "exception_info": error and {"exception_type": error[0], "exception_message": error[1]},
        "agent_execution": {"started_at": started_at},
        "started_at": started_at,
        "finished_at": stamp(),
    }


def _version(row: OutputRow | None) -> str:
    """OpenHands' version, which the first event of a history says."""
    return (openhands_version(row) if row else None) or ""


def _keep_patch(trial: Trial, patch: str) -> None:
    """Leave the patch where Harbor's guest leaves one: it is published with the trial."""
    taken = trial.files.patch_taken(trial.name)
    write_bytes(taken / "patch.diff", patch.encode())
    write_text(taken / "patch.json", patch_record(patch).model_dump_json())


def patch_record(patch: str) -> PatchRecord:
    """What there is to say of a patch that the harness took itself."""
    data = patch.encode()
    return PatchRecord(
        schema_version=1,
        status="ok" if data else "empty",
        reason=None,
        workdir=None,
        read_by=None,
        baseline_tree=None,
        final_tree=None,
        n_files=len(_FILE_IN_DIFF.findall(patch)),
        size_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        left_out={},
        largest=[],
        taking_s=0.0,
    )
