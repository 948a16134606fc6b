"""The life of one trial: a process of `run_infer` in a worktree of its own, then the evaluator, then its result.

It is a generator that stops wherever a process has to be waited for, so that one thread brings all trials of a job
forward: what it starts is to get a signal when that thread ends.
"""

import logging
import subprocess
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from trajgen_assets.core import process
from trajgen_assets.core.clock import stamp
from trajgen_assets.core.errors import LedgerError, TrajgenError
from trajgen_assets.core.faults import reached
from trajgen_assets.core.intake.digest import UnusableTreeError
from trajgen_assets.core.intake.rows import content_digest
from trajgen_assets.core.openhands.ending import (
    CANCELLED,
    CHANGED,
    NO_ROW,
    STOPPED,
    evaluated,
    with_fault,
    without_row,
    work_of,
)
from trajgen_assets.core.openhands.evaluation import Evaluation
from trajgen_assets.core.openhands.grading import Grader
from trajgen_assets.core.openhands.rows import OutputRow, judge_row
from trajgen_assets.core.openhands.trial import Ending, Trial, begin, finish
from trajgen_assets.core.openhands.worktrees import Worktrees
from trajgen_assets.core.rollout.record import StagedTask

log = logging.getLogger(__name__)

# On TERM run_infer is gone at once, and leaves its container, which is removed by its name.
STOP_GRACE_S = 10.0

Tell = Callable[[str, Trial], None]
Start = Callable[[Trial, Path], "subprocess.Popen[bytes]"]


@dataclass
class Work:
    """One trial under way.

    Attributes:
        start: starts its `run_infer` in a worktree.
        tell: the event feed.
        ended_dir: where its end is marked, so that its model key is refused.
        stop: the file that asks for no more trials.
        timeout_s: of `run_infer`.
        child: the process that it waits for now.
    """

    trial: Trial
    task: StagedTask
    trees: Worktrees
    grader: Grader
    start: Start
    tell: Tell
    ended_dir: Path
    stop: Path
    timeout_s: float
    agent: str
    child: "subprocess.Popen[bytes] | None" = None
    _began_at: str = field(default_factory=stamp)
    _tree: Path | None = None

    def __post_init__(self) -> None:
        self._steps = self._life()

    def advance(self) -> bool:
        """Go on as far as possible without waiting. Returns whether the trial is over, with its result written."""
        try:
            next(self._steps)
        except StopIteration:
            self._leave()
            return True
        except LedgerError:  # that is no fault of this trial
            raise
        except (TrajgenError, OSError, subprocess.SubprocessError) as error:  # one trial must not end the others
            log.exception("%s: the trial broke", self.trial.name)
            self._end_child()
            self._finish(Ending((NO_ROW, f"the trial could not be driven: {error}")))
            self._leave()
            return True
        return False

    def cancel(self) -> None:
        """Give up: its process was asked to end already, and is ended here."""
        self._end_child()
        if not self.trial.is_over:
            self._finish(Ending((CANCELLED, "the job was ended")))

    def _life(self) -> Generator[None]:
        begin(self.trial)
        self.tell("trial_started", self.trial)
        reached("openhands_trial_begun")
        if self.stop.exists():
            self._finish(Ending((STOPPED, f"{self.stop} asks for no more trials")))
            return
        if self._is_changed():
            self._finish(Ending((CHANGED, f"{self.trial.task_dir} is not what was recorded when it was staged")))
            return
        self._tree = self.trees.take()
        yield from self._work(self._tree)

    def _work(self, tree: Path) -> Generator[None]:
        self.child = self.start(self.trial, tree)
        self.tell("agent_started", self.trial)
        is_late = yield from self._waited()
        code = self._end_child()
        self._close_key("agent_ended")
        reached("openhands_work_ended")
        worked = work_of(self.trial)
        if worked.row is None:
            limit_s = self.timeout_s if is_late else None
            said = self.trial.last_words()
            self._finish(without_row(worked, code=code, last_words=said, timeout_s=limit_s))
            return
        yield from self._judge(worked.row, tree)

    def _waited(self) -> Generator[None, None, bool]:
        """Wait for `run_infer`. Returns whether it was out of time."""
        child, ends_at = self.child, time.monotonic() + self.timeout_s
        n_before = 0
        while child is not None and child.poll() is None:
            if time.monotonic() > ends_at:
                return True
            if (n_now := self.trial.n_completions()) != n_before:
                n_before = n_now
                self.tell("model_answered", self.trial)
            yield
        return False

    def _judge(self, row: OutputRow, tree: Path) -> Generator[None]:
        verdict = judge_row(row)
        if verdict.cause is not None:
            self._finish(with_fault(row, verdict))
            return
        self.tell("verification_started", self.trial)
        running = self.grader.begin(self.trial, row, tree)
        while not isinstance(running, Evaluation):
            self.child = running.process
            if (found := running.poll()) is not None:
                running = found
            else:
                yield
        self.child = None
        reached("openhands_evaluated")
        self._finish(evaluated(row, verdict, running))

    def _is_changed(self) -> bool:
        try:
            return content_digest(self.trial.task_dir) != (self.task.copy_digest or self.task.digest)
        except (OSError, TrajgenError, UnusableTreeError):
            return True

    def _finish(self, ending: Ending) -> None:
        self._close_key("trial_ended")
        finish(self.trial, ending, started_at=self._began_at, agent=self.agent)
        reached("openhands_trial_finished")
        self.tell("trial_ended", self.trial)

    def _close_key(self, event: str) -> None:
        """Mark the end of the agent's work; the first mark stays."""
        marker = self.ended_dir / self.trial.name
        if not marker.exists():
            marker.write_text(f"{event} {stamp()}\n")

    def _end_child(self) -> int:
        child, self.child = self.child, None
        return process.stop_group(child, grace_s=STOP_GRACE_S) if child is not None else 0

    def _leave(self) -> None:
        """Hand the worktree on, with nothing of this trial in it."""
        tree, self._tree = self._tree, None
        if tree is not None:
            self.trees.give_back(tree)


def living(works: Mapping[str, Work]) -> dict[str, process.ProcessId]:
    """The processes that serve the trials now, by the trial's name."""
    found = {}
    for name, work in works.items():
        if work.child is not None and work.child.poll() is None:
            found[f"openhands {name}"] = process.ProcessId.of(work.child.pid)
    return found
