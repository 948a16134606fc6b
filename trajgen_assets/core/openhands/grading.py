"""The verdict on the patch of a finished row: what the job's evaluator is handed, and where it works."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import orjson

from trajgen_assets.core.errors import TaskError
from trajgen_assets.core.intake.rows import Row, read_row
from trajgen_assets.core.openhands.evaluation import Evaluation, EvaluationClass, msb_id
from trajgen_assets.core.openhands.evaluators import Bench, Handed, RunningEvaluation, begin_evaluation
from trajgen_assets.core.openhands.images import image_of
from trajgen_assets.core.openhands.job_file import OpenHandsJob
from trajgen_assets.core.openhands.rows import OutputRow
from trajgen_assets.core.openhands.trial import Trial


@dataclass(frozen=True)
class Grader:
    """The evaluator of one job."""

    job: OpenHandsJob

    def begin(self, trial: Trial, row: OutputRow, folder: Path) -> RunningEvaluation | Evaluation:
        """Begin to evaluate the patch of a row; call it from the main thread.

        Args:
            folder: the worktree that it works in.
        """
        chosen = self.job.settings
        try:
            task = read_row(trial.task_dir)
            graded_by = self._row_for(task) if chosen.evaluator == "msb" else task
            image = image_of(task, chosen).wanted
        except (OSError, TaskError, ValueError) as error:
            return Evaluation(EvaluationClass.EVAL_ERROR, f"the task's row cannot be had: {error}")
        if graded_by is None:
            why = f"{self.job.evaluator_dataset} has no row of it"
            return Evaluation(EvaluationClass.ABSENT, why)
        bench = Bench(self.job.evaluator_python, folder, chosen.eval_timeout_s)
        handed = Handed(trial.task_id, row.patch, row.model_dump(mode="json"), graded_by, image)
        return begin_evaluation(chosen.evaluator, bench, handed, trial.evaluation)

    def _row_for(self, task: Row) -> Row | None:
        """The row that `msb` grades a task by: that of its own data set, where one is named."""
        named = self.job.evaluator_dataset
        if named is None:
            return task
        place = msb_id(str(task["instance_id"]))
        return _msb_rows(named, named.stat().st_mtime_ns).get(place) if place else None


@lru_cache(maxsize=2)
def _msb_rows(path: Path, _changed_at: int) -> dict[str, Row]:
    """Rows of the Multi-SWE-bench data set, by `org/repo:pr-N`."""
    rows = (orjson.loads(line) for line in path.read_bytes().splitlines() if line.strip())
    return {f"{row['org']}/{row['repo']}:pr-{row['number']}": row for row in rows}
