"""What a driver that was killed left undone: finished rows are evaluated, containers and worktrees removed.

All of it is read from disk. A trial without a row had no result yet: its task is tried again.
"""

import logging
import time
from datetime import UTC, datetime
from pathlib import Path

from trajgen_assets.core.clock import stamp
from trajgen_assets.core.config.scaffolds import OPENHANDS_CODEACT
from trajgen_assets.core.openhands.checkout import OpenHandsCheckout
from trajgen_assets.core.openhands.ending import evaluated, with_fault, work_of
from trajgen_assets.core.openhands.evaluation import Evaluation
from trajgen_assets.core.openhands.grading import Grader
from trajgen_assets.core.openhands.job_file import OpenHandsJob
from trajgen_assets.core.openhands.rows import OutputRow, judge_row
from trajgen_assets.core.openhands.trial import Ending, Trial, begun_trials, finish
from trajgen_assets.core.openhands.worktrees import worktrees_of
from trajgen_assets.core.paths import Root

log = logging.getLogger(__name__)

POLL_S = 0.1


def complete_trials(root: Root, job_name: str, job: OpenHandsJob) -> list[str]:
    """Give each trial of a dead job that has a row, and no result, the result that its driver would have.

    Its processes have ended. Takes as long as the evaluator does; call it from the main thread.

    Returns:
        The names of these trials.
    """
    files = root.job(job_name)
    waiting = [(trial, row) for trial in begun_trials(files) if (row := _row_of(trial)) is not None]
    if not waiting:
        return []
    checkout = OpenHandsCheckout(job.checkout, job.commit)
    with worktrees_of(checkout, root, job_name) as trees, trees.taken() as tree:
        for trial, row in waiting:
            ending = _ending(Grader(job), trial, row, tree)
            finish(trial, ending, started_at=_began_at(trial), agent=OPENHANDS_CODEACT.agent)
            log.info("%s: completed after its driver had died", trial.name)
    return [trial.name for trial, _ in waiting]


def _row_of(trial: Trial) -> OutputRow | None:
    return None if trial.is_over else work_of(trial).row


def _ending(grader: Grader, trial: Trial, row: OutputRow, tree: Path) -> Ending:
    verdict = judge_row(row)
    if verdict.cause is not None:
        return with_fault(row, verdict)
    running = grader.begin(trial, row, tree)
    while not isinstance(running, Evaluation):
        found = running.poll()
        if found is not None:
            running = found
        else:
            time.sleep(POLL_S)
    return evaluated(row, verdict, running)


def _began_at(trial: Trial) -> str:
    """When it began: its `config.json` was written first of all, and once."""
    moment = (trial.folder / "config.json").stat().st_mtime
    return stamp(datetime.fromtimestamp(moment, UTC))
