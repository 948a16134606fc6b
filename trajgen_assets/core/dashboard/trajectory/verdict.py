"""Why a trial counts or does not, and what became of each of its conversations in training data."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from trajgen_assets.core.counting import count_of
from trajgen_assets.core.dashboard.facts.models import JobFacts, Trial
from trajgen_assets.core.dashboard.facts.rows import RowFacts
from trajgen_assets.core.dashboard.reasons import meaning
from trajgen_assets.core.dashboard.trajectory.model import Kind, Opening
from trajgen_assets.core.dashboard.trajectory.totals import Totals


@dataclass(frozen=True, slots=True)
class Fate:
    """One conversation, or an answer that was not taken, and its row.

    Attributes:
        n_turns: answers of the model that are on record.
        row: None where the trial was not converted, or its rows were not written.
    """

    conversation: int
    kind: Kind
    label: str
    n_turns: int
    row: RowFacts | None


def standing(job: JobFacts, trial: Trial) -> str:
    """Whether the trial is in its job's training data, and why, in a sentence."""
    found = trial.converted
    if found is None:
        unmade = "no training data was made of its job" if job.data is None else "its job's data is of before it"
        return f"Not in the training data: {unmade}."
    if found.reason is not None:
        told = f" ({found.detail})" if found.detail else ""
        return f"Left out of the training data: {meaning(found.reason)}{told}."
    n_out = sum(found.rejected.values())
    left = f", and {count_of(n_out, 'conversation')} left out" if n_out else ""
    return f"In the training data: {count_of(found.n_rows, 'row')}{left}."


def fates(
    openings: Iterable[Opening], totals: Totals, row_numbers: Mapping[int, int], rows: Iterable[RowFacts]
) -> list[Fate]:
    """What became of each conversation, in the order in which they began.

    Args:
        openings: how each began.
        totals: the figures of the trajectory.
        row_numbers: line of the last call of a conversation to the number of its row.
        rows: those of the trial.
    """
    by_number = {row.conversation: row for row in rows}
    return [
        Fate(
            each.conversation,
            each.kind,
            each.label,
            totals.n_turns[each.conversation],
            by_number.get(row_numbers.get(totals.last_line.get(each.conversation, 0), -1)),
        )
        for each in openings
    ]


def leaks_of(found: Iterable[Fate]) -> frozenset[tuple[int, int]]:
    """Conversation and number of each turn that has a flag."""
    return frozenset(
        (each.conversation, leak.turn)
        for each in found
        if each.row
        for leak in each.row.leaks or ()
        if leak.turn is not None
    )
