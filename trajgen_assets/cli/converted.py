"""What became of jobs that were to be converted, for people and for programs."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trajgen_assets.core.counting import count_of
from trajgen_assets.core.sft.reasons import Reason
from trajgen_assets.core.sft.receipt import Balance, Receipt, SftPaths


@dataclass(frozen=True)
class Converted:
    """What became of one job: its data, or why there is none.

    `state` is one of written, unchanged, taken again (an earlier version is the current one now), failed; of a dry
    run would be written or unchanged.
    """

    job: str
    state: str
    trials: Balance = field(default_factory=Balance)
    rows: Balance = field(default_factory=Balance)
    mean_score: float | None = None
    n_tokens: int | None = None
    tokens_from: str | None = None
    path: Path | None = None
    error: str | None = None

    @classmethod
    def of(cls, receipt: Receipt) -> "Converted":
        """Return what a receipt says."""
        state = "taken again" if receipt.taken_again else "written" if receipt.changed else "unchanged"
        im, stats = receipt.sft_im, json.loads(SftPaths(receipt.folder).stats.read_bytes())
        return cls(
            receipt.job,
            state,
            im.trials,
            im.rows,
            (stats.get("scores") or {}).get("mean"),
            stats.get("total_tokens"),
            stats.get("tokens_from"),
            receipt.folder,
        )

    @property
    def n_unforeseen(self) -> int:
        """Trials that were left out for a failure nobody foresaw, which the next conversion tries again."""
        return self.trials.rejected.get(Reason.UNEXPECTED_ERROR, 0)

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "job": self.job,
            "state": self.state,
            "trials": self.trials.model_dump(mode="json"),
            "rows": self.rows.model_dump(mode="json"),
            "mean_score": self.mean_score,
            "n_tokens": self.n_tokens,
            "tokens_from": self.tokens_from,
            "path": str(self.path) if self.path else None,
            "error": self.error,
        }

    def lines(self) -> Iterator[str]:
        """Return it for people."""
        yield f"{self.job}: {self.state}"
        for label, balance in (("trials", self.trials), ("rows", self.rows)):
            yield f"  {label:<7} {balance.n_in} in, {balance.n_kept} kept{_reasons(balance)}"
        if self.mean_score is not None:
            yield f"  score   mean {self.mean_score:.4f}"
        if self.n_tokens is not None:
            yield f"  tokens  {self.n_tokens:,}, from {self.tokens_from}"
        if self.path is not None:
            yield f"  path    {self.path}"
        if self.n_unforeseen:
            told = count_of(self.n_unforeseen, "trial is", "trials are")
            yield f"  failed  {told} left out for an error that should not be: convert again, and report it if it stays"


def sum_of(results: Sequence[Converted]) -> str:
    """Return a line for all jobs."""
    states = [each.state for each in results]
    told = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    n_rows = sum(each.rows.n_kept for each in results)
    return f"{count_of(len(results), 'job')}{f': {told}' if told else ''}; {count_of(n_rows, 'row')}"


def _reasons(balance: Balance) -> str:
    if not balance.rejected:
        return ""
    by_number = sorted(balance.rejected.items(), key=lambda each: -each[1])
    return "; rejected: " + ", ".join(f"{number} {reason}" for reason, number in by_number)
