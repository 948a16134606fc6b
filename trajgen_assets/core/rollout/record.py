"""The record of a running job: each ended trial goes to disk, then to the ledger, then to whoever listens."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from trajgen_assets.core.errors import HarnessError
from trajgen_assets.core.intake.task import TaskFolder
from trajgen_assets.core.keys import TaskKey
from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.ledger.models import CaptureVerdict, Lease, RetryPolicy, TaskRow
from trajgen_assets.core.paths import JobPaths
from trajgen_assets.core.rollout.causes import Cause
from trajgen_assets.core.rollout.results import TrialResult, read_trial_result
from trajgen_assets.core.rollout.settle import EndedTrial, settle_trial
from trajgen_assets.core.rollout.trials import TaskRecord, TrialEntry, TrialsFile, write_trials

log = logging.getLogger(__name__)

# The logger's last line follows the reply by milliseconds; a busy machine gets this long before a gap is a gap.
CAPTURE_PATIENCE_S = 5.0


@dataclass(frozen=True)
class StagedTask:
    """A task of the batch as it was staged."""

    key: TaskKey
    folder: TaskFolder
    digest: str


class Listener(Protocol):
    """Whoever wants to know how a job gets on: Dagster's event log, a progress display."""

    def phase(self, text: str) -> None:
        """The job has come to its next step."""

    def staged(self, task: StagedTask) -> None:
        """A task lies ready."""

    def trial_started(self, task_id: str) -> None:
        """Harbor has begun a trial."""

    def trial_ended(self, entry: TrialEntry) -> None:
        """A trial has ended and stands in the ledger."""


class SilentListener:
    """Listens to nothing."""

    def phase(self, text: str) -> None:
        """Nothing."""

    def staged(self, task: StagedTask) -> None:
        """Nothing."""

    def trial_started(self, task_id: str) -> None:
        """Nothing."""

    def trial_ended(self, entry: TrialEntry) -> None:
        """Nothing."""


@dataclass
class JobRecord:
    """What has been settled so far of one job that is held under `lease`."""

    header: TrialsFile
    files: JobPaths
    ledger: Ledger
    lease: Lease
    policy: RetryPolicy
    tasks: Mapping[str, StagedTask]
    listener: Listener
    cancelled_as: Cause = Cause.CANCELLED
    entries: dict[str, TrialEntry] = field(default_factory=dict)
    _waiting: dict[str, float] = field(default_factory=dict)

    def trial_ended(self, trial_name: str) -> None:
        """Settle the trial now, or as soon as its last call is on record."""
        self._waiting.setdefault(trial_name, time.monotonic())
        self.settle_waiting()

    def settle_waiting(self) -> None:
        """Settle what has ended and whose capture is whole, or has had its time to become so."""
        for trial_name, since in list(self._waiting.items()):
            result = read_trial_result(self.files.trial(trial_name))
            if result is None:
                continue
            out_of_patience = time.monotonic() - since > CAPTURE_PATIENCE_S
            if self._settle(result, final=out_of_patience):
                del self._waiting[trial_name]

    def settle_rest(self) -> None:
        """After Harbor has stopped: settle every trial that left a result and is not recorded yet."""
        results = [result for result in self._results_on_disk() if result.trial_name not in self.entries]
        deadline = time.monotonic() + CAPTURE_PATIENCE_S
        while results and time.monotonic() < deadline:
            results = [result for result in results if not self._settle(result, final=False)]
            if results:
                time.sleep(0.2)
        for result in results:
            self._settle(result, final=True)

    def _results_on_disk(self) -> list[TrialResult]:
        found = []
        for path in sorted(self.files.dir.glob("*/result.json")):
            try:
                result = read_trial_result(path.parent)
            except HarnessError as error:
                log.error("%s: %s", self.lease.job, error)  # the task has no result, so it goes back to pending
                continue
            if result is not None:
                found.append(result)
        return found

    def _settle(self, result: TrialResult, *, final: bool) -> bool:
        task = self.tasks.get(result.task_id or "")
        if task is None:
            raise HarnessError("Harbor ran a task that is not in the batch", where=result.trial_name)
        ended = settle_trial(self.files, task.key.task_id, result, cancelled_as=self.cancelled_as)
        if ended.capture.verdict is CaptureVerdict.GAP and not final:
            return False
        row = self.ledger.record_attempt(self.lease, task.key, ended.outcome(), self.policy)
        entry = trial_entry(task, ended, row)
        self.entries[ended.result.trial_name] = entry
        write_trials(self.files.trials, self.header.model_copy(update={"trials": tuple(self.entries.values())}))
        self.listener.trial_ended(entry)
        return True


def trial_entry(task: StagedTask, ended: EndedTrial, row: TaskRow) -> TrialEntry:
    """The line of `trials.json` for an ended trial whose attempt left its task at `row`."""
    outcome = ended.outcome()
    return TrialEntry(
        task_id=task.key.task_id,
        task_key=task.key.partition,
        trial_name=outcome.trial_name,
        attempt=row.n_attempts,
        accepted=ended.cause is None,
        status=row.status.value,
        cause=ended.cause.value if ended.cause else None,
        note=ended.note,
        reward=outcome.reward,
        capture=ended.capture.verdict.value,
        trajectory=str(ended.files.trajectory(outcome.trial_name).relative_to(ended.files.dir)),
        trajectory_sha256=outcome.trajectory_sha256,
        task=TaskRecord(digest=task.digest, instruction=task.folder.instruction, metadata=task.folder.metadata),
        n_input_tokens=outcome.n_input_tokens,
        n_output_tokens=outcome.n_output_tokens,
        n_cache_tokens=outcome.n_cache_tokens,
        cost_usd=outcome.cost_usd,
        started_at=outcome.started_at,
        finished_at=outcome.finished_at,
        duration_s=outcome.duration_s,
    )
