"""A job in figures, from its `trials.json`."""

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from trajgen_assets.core.rollout.trials import TrialEntry, TrialsFile


@dataclass(frozen=True)
class JobResult:
    """What a job came to.

    Attributes:
        n_graded: trials with a valid reward; `mean_reward` is over these alone, None where there is none.
        n_resolved: graded trials with a reward of at least 1.
        causes: how many trials each cause took a result from.
        n_tokens: input and output tokens over all trials, as the provider counted them.
        duration_s: from the first trial's start to the last one's end.
        digest: over the trials and their trajectories; equal for equal results.
    """

    folder: Path
    n_trials: int
    n_graded: int
    n_resolved: int
    mean_reward: float | None
    causes: Mapping[str, int]
    n_tokens: int
    cost_usd: float
    duration_s: float
    digest: str

    @property
    def n_errors(self) -> int:
        """Trials without a valid result."""
        return self.n_trials - self.n_graded


def job_result_of(folder: Path, file: TrialsFile) -> JobResult:
    """Sum up the trials of the job that lies in `folder`."""
    trials = file.trials
    rewards = [entry.reward for entry in trials if entry.accepted and entry.reward is not None]
    return JobResult(
        folder=folder,
        n_trials=len(trials),
        n_graded=len(rewards),
        n_resolved=sum(reward >= 1 for reward in rewards),
        mean_reward=fmean(rewards) if rewards else None,
        causes=Counter(entry.cause for entry in trials if entry.cause is not None),
        n_tokens=sum((entry.n_input_tokens or 0) + (entry.n_output_tokens or 0) for entry in trials),
        cost_usd=sum(entry.cost_usd or 0.0 for entry in trials),
        duration_s=_span_s(trials),
        digest=_digest(trials),
    )


def _span_s(trials: tuple[TrialEntry, ...]) -> float:
    starts = [entry.started_at for entry in trials if entry.started_at is not None]
    ends = [entry.finished_at for entry in trials if entry.finished_at is not None]
    return (max(ends) - min(starts)).total_seconds() if starts and ends else 0.0


def _digest(trials: tuple[TrialEntry, ...]) -> str:
    fields = ((e.trial_name, e.trajectory_sha256, e.reward, e.cause, e.accepted) for e in trials)
    lines = sorted(" ".join(map(str, each)) for each in fields)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
