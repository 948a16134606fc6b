"""A run in figures, from its job's `trials.json` and the ledger: the same whoever files it, and whenever."""

from collections import Counter
from collections.abc import Iterable
from statistics import fmean
from typing import Any

from trajgen_assets.core.errors import TrajgenError
from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.paths import JobPaths
from trajgen_assets.core.rollout.trials import TrialEntry, load_trials
from trajgen_assets.core.sft.scaffolds import may_become_data


def known_sum(costs_usd: Iterable[float | None]) -> float | None:
    """The sum; None where any part of it is unknown, which is not 0."""
    known = list(costs_usd)
    return None if None in known else round(sum(cost for cost in known if cost is not None), 6)


def trial_facts(entries: Iterable[TrialEntry]) -> dict[str, Any]:
    """Counts, rewards, causes, tokens and cost over trials."""
    trials = list(entries)
    rewards = [entry.reward for entry in trials if entry.accepted and entry.reward is not None]
    return {
        "n_trials": len(trials),
        "n_accepted": sum(entry.accepted for entry in trials),
        "n_graded": len(rewards),
        "n_resolved": sum(reward >= 1 for reward in rewards),
        "mean_reward": round(fmean(rewards), 6) if rewards else None,
        "causes": dict(Counter(str(entry.cause) for entry in trials if entry.cause)),
        "n_tokens": sum((entry.n_input_tokens or 0) + (entry.n_output_tokens or 0) for entry in trials),
        "cost_usd": known_sum(entry.cost_usd for entry in trials),
    }


def job_facts(ledger: Ledger, files: JobPaths, job: str) -> dict[str, Any]:
    """What the ledger and the job's files say of it; of the files nothing where the job did not get to a trial."""
    row = ledger.job(job)
    found: dict[str, Any] = {
        "dataset": row.dataset,
        "campaign": row.campaign,
        "n_tasks": row.n_tasks,
        "accepted_digest": row.accepted_digest,
    }
    trials = trials_of(files)
    return found if trials is None else found | trial_facts(trials)


def has_data(files: JobPaths) -> bool:
    """Whether training data can be made of the job; False where `trials.json` is missing or cannot be read."""
    try:
        return may_become_data(load_trials(files.trials))
    except TrajgenError:
        return False


def trials_of(files: JobPaths) -> tuple[TrialEntry, ...] | None:
    """The job's trials; None where `trials.json` is missing or cannot be read."""
    try:
        return load_trials(files.trials).trials
    except TrajgenError:
        return None
