"""How far each task came on its way from the manifest into a data set, and why it did not come further.

Each stage is a part of the one before it, so the numbers add up: what reached a stage is what reached the next one and,
by reason, what did not.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from trajgen_assets.core.dashboard.facts.models import Converted
from trajgen_assets.core.ledger.models import AttemptRow, CaptureVerdict, TaskRow, TaskStatus


class Stage(IntEnum):
    """The furthest that a task came."""

    MANIFEST = 0
    ROLLED_OUT = 1
    GRADED = 2
    RESOLVED = 3
    CAPTURED = 4
    CONVERTED = 5
    IN_DATA_SET = 6

    @property
    def label(self) -> str:
        return _LABELS[self]

    @property
    def meaning(self) -> str:
        return _MEANINGS[self]


_LABELS = ("manifest", "rolled out", "graded", "resolved", "captured complete", "converted", "in data set")
_MEANINGS = (
    "registered from a manifest",
    "at least one attempt has ended",
    "the verifier gave a reward that counts",
    "the reward is 1",
    "every model call of the trial is on record",
    "at least one row was kept in im.jsonl",
    "at least one row is in lf.json, and where data sets of several jobs were built, in one of them",
)


@dataclass(frozen=True, slots=True)
class Reached:
    """The stage that a task reached, and why not the next: one of few words for each kind of reason."""

    stage: Stage
    why_not_further: str | None


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """One task with its attempts, first to last; `accepted` is the one that counts."""

    row: TaskRow
    attempts: tuple[AttemptRow, ...]
    accepted: AttemptRow | None
    reached: Reached


@dataclass(frozen=True, slots=True)
class Step:
    """One stage of the funnel: how many tasks reached it, and of these how many went no further, by reason."""

    stage: Stage
    n_reached: int
    stopped: Mapping[str, int]


def task_facts(
    row: TaskRow, attempts: Sequence[AttemptRow], converted: Converted | None, *, in_data_set: bool
) -> TaskFacts:
    """A task of the ledger. `converted` is what became of its accepted trial."""
    accepted = next((each for each in attempts if each.accepted), None)
    return TaskFacts(row, tuple(attempts), accepted, _reached(row, attempts, accepted, converted, in_data_set))


def funnel_of(found: Mapping[Reached, int]) -> tuple[Step, ...]:
    """The stages in order, from how many tasks reached what."""
    steps = []
    for stage in Stage:
        n_reached = sum(n for each, n in found.items() if each.stage >= stage)
        stopped = Counter({e.why_not_further or "": n for e, n in found.items() if e.stage == stage})
        steps.append(Step(stage, n_reached, dict(stopped.most_common()) if stage is not Stage.IN_DATA_SET else {}))
    return tuple(steps)


def _reached(
    row: TaskRow,
    attempts: Sequence[AttemptRow],
    accepted: AttemptRow | None,
    converted: Converted | None,
    in_data_set: bool,
) -> Reached:
    if row.status is not TaskStatus.DONE:
        if attempts:
            return Reached(Stage.ROLLED_OUT, _why_not_graded(row))
        return Reached(Stage.MANIFEST, _why_not_rolled_out(row))
    if row.reward is None:
        return Reached(Stage.ROLLED_OUT, "imported without a reward")
    if row.reward < 1:
        return Reached(Stage.GRADED, "reward 0" if row.reward <= 0 else "reward between 0 and 1")
    return _reached_by_record(accepted, converted, in_data_set)


def _reached_by_record(accepted: AttemptRow | None, converted: Converted | None, in_data_set: bool) -> Reached:
    """How far a resolved task came with the record of its trial."""
    verdict = accepted.capture if accepted else None
    if verdict is not CaptureVerdict.COMPLETE:
        return Reached(Stage.RESOLVED, f"capture {verdict.value}" if verdict else "capture unknown: imported")
    if converted is None:
        return Reached(Stage.CAPTURED, "not converted yet")
    if not converted.n_rows:
        return Reached(Stage.CAPTURED, f"rejected: {converted.reason or 'no_row_kept'}")
    return Reached(Stage.IN_DATA_SET, None) if in_data_set else Reached(Stage.CONVERTED, "in no data set")


def _why_not_rolled_out(row: TaskRow) -> str:
    if row.status is TaskStatus.SKIPPED:
        return f"skipped: {row.skip_kind.value}" if row.skip_kind else "skipped"
    if row.status is TaskStatus.RUNNING:
        return "running"
    if row.job is not None:
        return "assigned to a job"
    return "pending" if row.eligible else "waiting for a usable folder"


def _why_not_graded(row: TaskRow) -> str:
    if row.status is TaskStatus.RUNNING:
        return "running again"
    return f"{row.status.value}: {row.last_cause or 'superseded'}"
