"""Trials summed up. Every figure over many jobs is one over their trials, not a mean of the jobs' means."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from trajgen_assets.core.dashboard.facts.models import Figures, Outcome, Trial

SLICES = ("language", "difficulty", "category")
_WITHOUT_RESULT = frozenset({Outcome.AGENT, Outcome.CAPTURE, Outcome.OUTSIDE})


def figures_of(trials: Iterable[Trial]) -> Figures:
    """The figures of `trials`."""
    found = list(trials)
    tokens = [trial.n_tokens for trial in found if trial.n_tokens is not None]
    costs = [trial.cost_usd for trial in found if trial.cost_usd is not None]
    return Figures(
        n_trials=len(found),
        n_by_outcome=Counter(trial.outcome for trial in found),
        reward_sum=sum(trial.reward or 0.0 for trial in found if trial.outcome.is_graded),
        causes=Counter(trial.cause or "unclassified" for trial in found if trial.outcome in _WITHOUT_RESULT),
        n_tokens=sum(tokens) if tokens else None,
        n_told=len(tokens),
        cost_usd=sum(costs) if costs else None,
        n_priced=len(costs),
        durations_s=tuple(sorted(trial.duration_s for trial in found if trial.duration_s is not None)),
    )


def slices_of(trials: Iterable[Trial]) -> Mapping[str, Mapping[str, Figures]]:
    """The figures of `trials` apart by each of `SLICES`."""
    found = list(trials)
    return {name: {value: figures_of(part) for value, part in _apart(found, name).items()} for name in SLICES}


def _apart(trials: Sequence[Trial], name: str) -> Mapping[str, list[Trial]]:
    parts: dict[str, list[Trial]] = defaultdict(list)
    for trial in trials:
        parts[getattr(trial, name) or ""].append(trial)
    return parts
