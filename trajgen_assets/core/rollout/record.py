"""The record of a running job: an ended trial's files first, then its attempt in the ledger, then `trials.json`."""

import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from trajgen_assets.core.errors import BusyError, HarnessError, LedgerError, TrajgenError
from trajgen_assets.core.faults import reached
from trajgen_assets.core.intake.task import TaskFolder
from trajgen_assets.core.keys import TaskKey
from trajgen_assets.core.ledger.breaker import tripping_cause
from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.ledger.models import (
    AttemptKind,
    AttemptOutcome,
    CaptureVerdict,
    Lease,
    RetryPolicy,
    StopRequest,
    TaskStatus,
)
from trajgen_assets.core.paths import JobPaths
from trajgen_assets.core.provision.environments import Environment
from trajgen_assets.core.redact import Redactor
from trajgen_assets.core.rollout.budget_notes import Refusal
from trajgen_assets.core.rollout.causes import FINAL_CAUSES, Cause
from trajgen_assets.core.rollout.clearing import clear, clear_tree
from trajgen_assets.core.rollout.fix import fix_of
from trajgen_assets.core.rollout.kept_task import keep_task
from trajgen_assets.core.rollout.patch import publish_patch, remove_patches
from trajgen_assets.core.rollout.results import TrialResult, read_trial_result, task_id_of
from trajgen_assets.core.rollout.settle import settle_trial
from trajgen_assets.core.rollout.trials import TaskRecord, TrialEntry, TrialsFile, write_trials

log = logging.getLogger(__name__)

# The logger's last line follows the reply by milliseconds; a busy machine gets this long before a gap is a gap.
CAPTURE_PATIENCE_S = 5.0

# A note is one line for people; the whole text lies with the trial.
NOTE_LENGTH = 340

# The record of calls stays byte for byte: what is secret was taken out of it before it was written.
RAW_RECORDS = ("litellm-trajectory.jsonl", "litellm-trajectory.jsonl.zst")


@dataclass(frozen=True)
class StagedTask:
    """A task of the batch as it was staged.

    Attributes:
        digest: of the task's content as it is recorded.
        copy_digest: of `folder`, where that is a copy which differs on purpose.
        memory_mb: what its sandbox is given instead of what the task says.
    """

    key: TaskKey
    folder: TaskFolder
    digest: str
    copy_digest: str | None = None
    memory_mb: int | None = None


class Listener(Protocol):
    """Whoever wants to know how a job gets on: Dagster's event log, a progress display."""

    def phase(self, text: str) -> None:
        """The job has come to its next step."""

    def environments_ready(self, environments: Sequence[Environment]) -> None:
        """These are what the job runs in."""

    def staged(self, task: StagedTask) -> None:
        """A task lies ready."""

    def trial_started(self, task_id: str) -> None:
        """A trial has begun."""

    def trial_ended(self, entry: TrialEntry) -> None:
        """A trial has ended and stands in the ledger."""


class SilentListener:
    """Listens to nothing."""

    def phase(self, text: str) -> None:
        """Nothing."""

    def environments_ready(self, environments: Sequence[Environment]) -> None:
        """Nothing."""

    def staged(self, task: StagedTask) -> None:
        """Nothing."""

    def trial_started(self, task_id: str) -> None:
        """Nothing."""

    def trial_ended(self, entry: TrialEntry) -> None:
        """Nothing."""


@dataclass
class JobRecord:
    """What has been settled so far of one job that is held under `lease`.

    Attributes:
        redactor: knows every secret of ours; for notes.
        given: knows those that the harness and its sandboxes can have been given; for their files, in which any other
            word of our environment is just a word.
        own_files: of the harness, beside the folders of trials.
    """

    header: TrialsFile
    files: JobPaths
    ledger: Ledger
    lease: Lease
    policy: RetryPolicy
    tasks: Mapping[str, StagedTask]
    listener: Listener
    redactor: Redactor = field(default_factory=Redactor.of_environ)
    given: Redactor = field(default_factory=lambda: Redactor({}))
    own_files: Sequence[Path] = ()
    cancelled_as: Cause = Cause.CANCELLED
    is_interrupted: bool = False
    stopped_for: str | None = None
    drained_for: StopRequest | None = None
    over_budget: Refusal | None = None
    entries: dict[str, TrialEntry] = field(default_factory=dict)
    _waiting: dict[str, float] = field(default_factory=dict)

    def trial_ended(self, trial_name: str) -> None:
        """Settle the trial now, or as soon as its last call is on record."""
        reached("before_record")
        self._waiting.setdefault(trial_name, time.monotonic())
        self.settle_waiting()

    def settle_waiting(self) -> None:
        """Settle what has ended and whose capture is whole, or has had its time to become so."""
        for trial_name, since in list(self._waiting.items()):
            result = self._read(self.files.trial(trial_name))
            out_of_patience = time.monotonic() - since > CAPTURE_PATIENCE_S
            if result is not None and self._settle(result, final=out_of_patience):
                del self._waiting[trial_name]

    def settle_rest(self, *, until: float = math.inf) -> bool:
        """After the harness has stopped: settle every trial that left a result, and then those that left none.

        Args:
            until: on the monotonic clock; after that no further trial is taken up.

        Returns:
            Whether that was all; what is left over can be settled by a later call.

        Raises:
            TrajgenError: one of them could not be settled; the others are.
        """
        results = [result for folder in self._unsettled() if (result := self._read(folder)) is not None]
        patience_ends = time.monotonic() + CAPTURE_PATIENCE_S
        errors: list[TrajgenError] = []
        while results and time.monotonic() < min(patience_ends, until):
            results = [
                result
                for result in results
                if time.monotonic() > until or not self._settle_or_note(result, errors, final=False)
            ]
            time.sleep(0.2 if results else 0)
        for result in results:
            if time.monotonic() > until:
                return False
            self._settle_or_note(result, errors, final=True)
        for folder in self._unsettled():
            self._record_broken(folder)
        for path in self.own_files:
            clear(path, self.given)
        remove_patches(self.files)
        if errors:
            raise errors[0]
        return True

    def _unsettled(self) -> list[Path]:
        """Folders of trials that began and are not recorded yet."""
        folders = [path.parent for path in sorted(self.files.dir.glob("*/config.json"))]
        return [folder for folder in folders if folder.name not in self.entries]

    def _read(self, folder: Path) -> TrialResult | None:
        try:
            return read_trial_result(folder)
        except HarnessError as error:  # settled as broken when the harness has ended
            log.error("%s: %s", self.lease.job, error)
            return None

    def _settle_or_note(self, result: TrialResult, errors: list[TrajgenError], *, final: bool) -> bool:
        """Settle one trial; an error about it must not keep the others from being settled."""
        try:
            return self._settle(result, final=final)
        except (LedgerError, BusyError):  # that is no fault of this trial, and a later look mends it
            raise
        except TrajgenError as error:
            log.error("%s: %s: %s", self.lease.job, result.trial_name, error)
            errors.append(error)
            return True

    def _settle(self, result: TrialResult, *, final: bool) -> bool:
        task = self.tasks.get(result.task_id or "")
        if task is None:
            raise HarnessError("the harness ran a task that is not in the batch", where=result.trial_name)
        ended = settle_trial(self.files, task.key.task_id, result, cancelled_as=self.cancelled_as)
        if ended.capture.verdict is CaptureVerdict.GAP and not final:
            return False
        self._note_version(result)
        self._record(task, ended.outcome(), accepted=ended.cause is None)
        return True

    def _note_version(self, result: TrialResult) -> None:
        """The agent's version is known from the first trial on: it is part of the pinned Harbor, not of a setting."""
        if result.agent_info.version and not self.header.agent.version:
            agent = self.header.agent.model_copy(update={"version": result.agent_info.version})
            self.header = self.header.model_copy(update={"agent": agent})

    def _record_broken(self, folder: Path) -> None:
        """A trial that began and left no result: the harness was killed, or broke. It is tried again, up to a cap."""
        task = self.tasks.get(task_id_of(folder) or "")
        if task is None:
            return
        cancelled = self.cancelled_as is Cause.CANCELLED and self.is_interrupted
        outcome = AttemptOutcome(
            trial_name=folder.name,
            kind=AttemptKind.FREE if cancelled else AttemptKind.OUTSIDE,
            cause=Cause.CANCELLED if cancelled else Cause.HARNESS,
            note="the trial began and left no result",
        )
        self._record(task, outcome, accepted=False)

    def _record(self, task: StagedTask, outcome: AttemptOutcome, *, accepted: bool) -> None:
        # Before it is recorded: whoever dies in between leaves it to recovery, which does all of it again.
        keep_task(self.files.trial(outcome.trial_name), task.folder.folder, task.key.task_id)
        clear_tree(self.files.trial(outcome.trial_name), self.given, but=RAW_RECORDS)
        publish_patch(self.files, outcome.trial_name, self.given)
        outcome = replace(outcome, note=self._presentable(outcome.note))
        policy = replace(self.policy, max_retries=-1) if outcome.cause in FINAL_CAUSES else self.policy
        row = self.ledger.record_attempt(self.lease, task.key, outcome, policy)
        reached("after_record")
        mine = (self.lease.job, outcome.trial_name)
        ordinal = next(each.ordinal for each in self.ledger.attempts(task.key) if (each.job, each.trial_name) == mine)
        status = TaskStatus.DONE if accepted else row.status
        entry = trial_entry(task, self.files, outcome, ordinal=ordinal, status=status, accepted=accepted)
        self.entries[outcome.trial_name] = entry
        write_trials(self.files.trials, self.header.model_copy(update={"trials": tuple(self.entries.values())}))
        self.listener.trial_ended(entry)
        self._stop_in_an_outage(outcome)

    def _presentable(self, note: str | None) -> str | None:
        """A note as it may be stored: programs in a sandbox quote what they were given. Cut last, not within a key."""
        return self.redactor.text(note)[:NOTE_LENGTH] if note else note

    def start_no_more(self) -> None:
        """Let the trials that run end, and begin no others: the harness looks for this file before each trial."""
        self.files.stop.touch()

    def _stop_in_an_outage(self, outcome: AttemptOutcome) -> None:
        """Start no more trials when the last ones all failed from one outside cause; that costs no task an attempt.

        Nor do those that were running then, and end later from the same cause.
        """
        if self.stopped_for is not None and outcome.cause == self.stopped_for:
            self.ledger.forgive(self.lease.job, self.stopped_for)
            return
        cause = tripping_cause(self.ledger.recent_outcomes(self.lease.job))
        if cause is not None and not self.files.stop.exists():
            self.start_no_more()
            self.stopped_for = cause
            self.ledger.trip(self.header.dataset, cause, job=self.lease.job)
            log.error("%s: stopped after repeated failures: %s", self.lease.job, cause)


def trial_entry(
    task: StagedTask,
    files: JobPaths,
    outcome: AttemptOutcome,
    *,
    ordinal: int,
    status: TaskStatus,
    accepted: bool,
) -> TrialEntry:
    """The line of `trials.json` for a recorded attempt that left its task at `status`."""
    trajectory = files.trajectory(outcome.trial_name)
    return TrialEntry(
        task_id=task.key.task_id,
        task_key=task.key.partition,
        trial_name=outcome.trial_name,
        attempt=ordinal,
        accepted=accepted,
        status=status.value,
        cause=outcome.cause,
        note=outcome.note,
        reward=outcome.reward,
        capture=outcome.capture.value if outcome.capture else None,
        trajectory=str(trajectory.relative_to(files.dir)) if trajectory.exists() else None,
        trajectory_sha256=outcome.trajectory_sha256,
        task=TaskRecord(
            digest=task.digest,
            instruction=task.folder.instruction,
            metadata=task.folder.metadata,
            fix=fix_of(task.folder.folder),
            memory_mb=task.memory_mb,
        ),
        n_input_tokens=outcome.n_input_tokens,
        n_output_tokens=outcome.n_output_tokens,
        n_cache_tokens=outcome.n_cache_tokens,
        cost_usd=outcome.cost_usd,
        started_at=outcome.started_at,
        finished_at=outcome.finished_at,
        duration_s=outcome.duration_s,
    )
