"""A trial that has ended becomes an entry of `trials.json` and an attempt in the ledger.

Everything is taken from the disk, so that whoever finds a dead job can settle it in the same way.
"""

from dataclasses import dataclass
from pathlib import Path

from trajgen_assets.core.capture.verdict import Capture, publish
from trajgen_assets.core.ledger.models import AttemptKind, AttemptOutcome, CaptureVerdict
from trajgen_assets.core.paths import JobPaths
from trajgen_assets.core.rollout.budget_notes import Refusal, refusal_of_trial
from trajgen_assets.core.rollout.causes import Cause, kind_of
from trajgen_assets.core.rollout.results import TrialResult
from trajgen_assets.core.rollout.trials import NOT_BEGUN_NOTE, STOPPED_ERROR

ACCEPTED_VERDICTS = frozenset({CaptureVerdict.COMPLETE, CaptureVerdict.CUT})


@dataclass(frozen=True)
class EndedTrial:
    """One ended trial: what Harbor recorded, and what of its model calls was captured."""

    task_id: str
    result: TrialResult
    capture: Capture
    files: JobPaths
    cancelled_as: Cause = Cause.CANCELLED
    refusal: Refusal | None = None

    @property
    def cause(self) -> Cause | None:
        """Why the attempt is not accepted: Harbor's cause first, then a capture with a gap; None if it is accepted.

        Harbor calls a trial cancelled whoever ended it; `cancelled_as` says what made us end it. A trial that used up
        its own budget is graded, as one that used up its time is; where others used up that of the job or of the day
        it is none of the agent's doing.
        """
        if self.refusal is not None and not self.refusal.is_of_trial:
            return Cause.BUDGET
        if self.result.cause is Cause.CANCELLED or self.stood_still:
            return self.cancelled_as
        if self.result.cause is not None:
            return self.result.cause
        if self.was_never_answered:
            return Cause.MODEL_PROVIDER
        return None if self.capture.verdict in ACCEPTED_VERDICTS else Cause.CAPTURE

    @property
    def stood_still(self) -> bool:
        """Whether Harbor, woken to be ended, took the time that it had stood still for the agent's own."""
        return self.cancelled_as is Cause.STALLED and self.result.cause is Cause.AGENT_BUDGET

    @property
    def was_unrecorded(self) -> bool:
        """Whether it was ended because the proxy no longer recorded its job's calls."""
        return self.cancelled_as is Cause.CAPTURE and self.result.cause is Cause.CANCELLED

    @property
    def was_never_answered(self) -> bool:
        """Whether the agent asked and no call of it ever got a whole reply: its reward measures no model."""
        return self.capture.admitted > 0 and self.capture.ok == 0

    @property
    def note(self) -> str | None:
        """One line for people."""
        if self.refusal is not None:
            return self.refusal.text
        if self.result.exception_info is not None and self.result.exception_info.exception_type == STOPPED_ERROR:
            return NOT_BEGUN_NOTE
        if self.was_unrecorded:
            return "ended because the proxy no longer recorded model calls"
        if self.result.cause is None and self.was_never_answered:
            return f"none of {self.capture.admitted} model calls was answered"
        return self.capture.explanation if self.cause is Cause.CAPTURE else self.result.note

    @property
    def kind(self) -> AttemptKind:
        """What the attempt counts as. That the record broke under a trial is not held against its task."""
        if self.was_unrecorded:
            return AttemptKind.FREE
        return AttemptKind.GRADED if self.cause is None else kind_of(self.cause)

    def outcome(self) -> AttemptOutcome:
        """The attempt as the ledger records it."""
        capture = self.capture
        trajectory = self.files.trajectory(self.result.trial_name)
        return AttemptOutcome(
            trial_name=self.result.trial_name,
            kind=self.kind,
            cause=self.cause,
            reward=self.result.reward if self.cause is None else None,
            capture=capture.verdict,
            n_input_tokens=capture.n_input_tokens,
            n_output_tokens=capture.n_output_tokens,
            n_cache_tokens=capture.n_cache_tokens,
            cost_usd=capture.cost_usd,
            started_at=self.result.started_at,
            finished_at=self.result.finished_at,
            duration_s=self.result.duration_s,
            trajectory_path=_relative(trajectory, self.files.dir.parent.parent),
            trajectory_sha256=capture.trajectory_sha256,
            note=self.note,
        )


def explanation_of(result: TrialResult) -> str | None:
    """The known event that explains calls which never ended, if there was one."""
    if result.cause is Cause.CANCELLED:
        return "the trial was cancelled"
    if result.exception_info is not None and result.exception_info.exception_type == "AgentTimeoutError":
        return "the agent ran out of time"
    return None


def settle_trial(files: JobPaths, task_id: str, result: TrialResult, *, cancelled_as: Cause) -> EndedTrial:
    """Publish the trajectory of an ended trial and judge its capture. Safe to repeat."""
    trial_dir, refusal = files.trial(result.trial_name), refusal_of_trial(files, result.trial_name)
    cut_by = refusal.text if refusal else None
    explained = explanation_of(result) or cut_by
    capture = publish(files.proxy, result.trial_name, trial_dir, explained=explained, cut_by=cut_by)
    return EndedTrial(task_id, result, capture, files, cancelled_as, refusal)


def _relative(path: Path, base: Path) -> str | None:
    return str(path.relative_to(base)) if path.exists() else None
