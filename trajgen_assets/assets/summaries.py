"""What an event says at a glance: Markdown with bars of characters. Nothing of a task or a model stands in it."""

from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg

from trajgen_assets.core.report.charts import bar_table, sparkline
from trajgen_assets.core.report.job_result import JobResult
from trajgen_assets.core.rollout.trials import TrialEntry
from trajgen_assets.core.sft.receipt import Balance, Receipt

# A line of more marks than this would be cut where an event is shown.
N_MARKS = 60

# What an event of sft_lf calls them, and lf.stats.json.
SPREADS = {"tokens": "token_lens", "turns": "n_turns", "score": "scores"}


def job_summary(result: JobResult, trials: Iterable[TrialEntry]) -> dg.MarkdownMetadataValue:
    """How the trials ended, and how long those took that were graded, in order of their ends."""
    outcomes = {"resolved": result.n_resolved, "not resolved": result.n_graded - result.n_resolved}
    parts = [bar_table("trials", outcomes | dict(sorted(result.causes.items())))]
    graded = [entry for entry in trials if entry.accepted and entry.duration_s is not None]
    durations = [entry.duration_s or 0.0 for entry in sorted(graded, key=lambda entry: str(entry.finished_at))]
    if durations:
        parts.append(f"seconds a trial: `{sparkline(durations[-N_MARKS:])}` up to {max(durations):,.0f}")
    return dg.MetadataValue.md("\n\n".join(parts))


def im_summary(receipt: Receipt) -> dg.MarkdownMetadataValue:
    """What became of trials and of rows, each rejection under its reason."""
    made = receipt.sft_im
    return dg.MetadataValue.md("\n\n".join([_balance("trials", made.trials), _balance("rows", made.rows)]))


def lf_figures(stats: Mapping[str, Any]) -> dict[str, float]:
    """Tokens, turns and scores of the rows, as `lf.stats.json` has them; what it does not know is left out."""
    means = {f"mean_{name}": _part(stats, key, "mean") for name, key in SPREADS.items()}
    found = {"tokens": stats.get("total_tokens"), **means, "max_tokens": _part(stats, SPREADS["tokens"], "max")}
    return {name: number for name, number in found.items() if number is not None}


def _part(stats: Mapping[str, Any], key: str, part: str) -> float | None:
    spread = stats.get(key)
    number: float | None = spread.get(part) if spread else None
    return number


def _balance(title: str, balance: Balance) -> str:
    return bar_table(f"{title} in: {balance.n_in:,}", {"kept": balance.n_kept, **balance.rejected})
