"""All tasks in one pass: the funnel, where each data set stands, which tasks fail again and again, and their rows.

A row is a list, in the order of `COLUMNS`: ten thousand of them are what a page loads to search and to filter.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trajgen_assets.core.dashboard import places
from trajgen_assets.core.dashboard.facts.funnel import Reached, Stage, Step, TaskFacts, funnel_of
from trajgen_assets.core.dashboard.facts.jobs import outcome_of
from trajgen_assets.core.dashboard.facts.models import Outcome
from trajgen_assets.core.dashboard.facts.scene import Mark, Scene
from trajgen_assets.core.ledger.models import AttemptRow, TaskStatus

COLUMNS = (
    "dataset", "campaign", "id", "status", "stage", "why", "reward", "rows", "language", "difficulty", "category",
    "note", "attempts",
)  # fmt: skip
ATTEMPT_COLUMNS = ("job", "trial", "outcome", "reward", "cause", "tokens")
N_PER_SHARD = 500
N_TRIES = 2  # from so many attempts on that gave nothing a task is one that fails again and again


@dataclass(frozen=True, slots=True)
class Troubled:
    """A task of which a person may want no more: it was tried again and again, and never solved.

    Attributes:
        keys: under which it could still be left out, as pending or failed; none where all campaigns are through.
        n_unsolved, causes: attempts that were graded below 1, and by cause those without a result.
    """

    dataset: str
    task_id: str
    campaigns: tuple[str, ...]
    keys: tuple[str, ...]
    n_unsolved: int
    causes: Mapping[str, int]

    @property
    def n_tries(self) -> int:
        return self.n_unsolved + sum(self.causes.values())

    @property
    def reason(self) -> str:
        """Why, in words that stand in a command line as they are."""
        parts = [f"{n} times {cause.replace('_', ' ')}" for cause, n in self.causes.items()]
        return ", ".join(([f"unsolved in {self.n_unsolved} trials"] if self.n_unsolved else []) + parts)

    @property
    def retire_line(self) -> str:
        """What leaves it out from now on."""
        if self.keys:
            return f'trajgen ledger skip {" ".join(self.keys)} --reason "{self.reason}"'
        return f"echo {self.task_id} >> excluded_tasks.txt"


@dataclass(frozen=True)
class Overview:
    """What one pass over all tasks gave.

    Attributes:
        standing: by campaign and data set, how many tasks stand where; each adds up to its tasks.
        n_beside: tasks with rows in training data though they left the funnel before it, as unsolved ones may.
        troubled: the most tried first.
        shards: rows of up to 500 tasks each, with the names that they number.
        n_by_shard: for each shard, how many of its tasks reached each stage and no further.
    """

    funnel: tuple[Step, ...]
    standing: Mapping[tuple[str, str], Mapping[str, int]]
    n_beside: int
    troubled: tuple[Troubled, ...]
    shards: tuple[Mapping[str, Any], ...]
    n_by_shard: tuple[tuple[int, ...], ...]


@dataclass
class _Tries:
    """All that was tried of one task, under whichever campaign."""

    campaigns: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    causes: Counter[str] = field(default_factory=Counter)


@dataclass
class _Shard:
    """Rows in the making. Jobs are named once, and numbered in rows."""

    jobs: dict[str, int] = field(default_factory=dict)
    rows: list[list[Any]] = field(default_factory=list)
    n_by_stage: Counter[Stage] = field(default_factory=Counter)

    def add(self, task: TaskFacts, mark: Mark | None) -> None:
        row, reached = task.row, task.reached
        attempts = [self._attempt(attempt) for attempt in task.attempts]
        n_rows = mark.converted.n_rows if mark and mark.converted else None
        told = (mark.language, mark.difficulty, mark.category) if mark else (None, None, None)
        note = row.note or (None if row.eligible else row.ineligible_reason)
        head = (row.dataset, row.campaign, row.task_id, row.status.value, int(reached.stage), reached.why_not_further)
        self.rows.append([*head, row.reward, n_rows, *told, note, attempts])
        self.n_by_stage[reached.stage] += 1

    def _attempt(self, attempt: AttemptRow) -> list[Any]:
        job = self.jobs.setdefault(attempt.job, len(self.jobs))
        known = [each for each in (attempt.n_input_tokens, attempt.n_output_tokens) if each is not None]
        outcome = outcome_of(attempt.kind, attempt.reward, accepted=attempt.accepted)
        tokens = sum(known) if known else None
        return [job, attempt.trial_name, outcome.value, attempt.reward, attempt.cause, tokens]

    def value(self) -> Mapping[str, Any]:
        pages = [places.job_page(name).rpartition("/")[0] for name in self.jobs]
        odd = {name: places.slug(name) for row in self.rows for _, name, *_ in row[-1] if places.slug(name) != name}
        return {"jobs": list(self.jobs), "pages": pages, "odd": odd, "rows": self.rows}


def overview_of(scene: Scene) -> Overview:
    """Pass once over all tasks of `scene`."""
    reached: Counter[Reached] = Counter()
    standing: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    tries: dict[tuple[str, str], _Tries] = defaultdict(_Tries)
    shards: list[_Shard] = []
    n_beside = 0
    for number, task in enumerate(scene.tasks()):
        if number % N_PER_SHARD == 0:
            shards.append(_Shard())
        mark = scene.mark(task.accepted or (task.attempts[-1] if task.attempts else None))
        shards[-1].add(task, mark)
        reached[task.reached] += 1
        standing[task.row.campaign, task.row.dataset][task.row.status.value] += 1
        n_beside += bool(task.accepted and _has_rows(mark) and task.reached.stage < Stage.CONVERTED)
        _count_tries(tries[task.row.dataset, task.row.task_id], task)
    return Overview(
        funnel=funnel_of(reached),
        standing=dict(sorted(standing.items())),
        n_beside=n_beside,
        troubled=_troubled(tries),
        shards=tuple(shard.value() for shard in shards),
        n_by_shard=tuple(tuple(shard.n_by_stage[stage] for stage in Stage) for shard in shards),
    )


def _has_rows(mark: Mark | None) -> bool:
    return bool(mark and mark.converted and mark.converted.n_rows)


def _count_tries(tries: _Tries, task: TaskFacts) -> None:
    if task.row.status in (TaskStatus.PENDING, TaskStatus.FAILED):
        tries.keys.append(task.row.key.partition)
    if task.attempts:
        tries.campaigns.append(task.row.campaign)
    for attempt in task.attempts:
        outcome = outcome_of(attempt.kind, attempt.reward, accepted=attempt.accepted)
        tries.outcomes[outcome] += 1
        if not outcome.is_graded and outcome is not Outcome.SUPERSEDED:
            tries.causes[attempt.cause or "unclassified"] += 1


def _troubled(tries: Mapping[tuple[str, str], _Tries]) -> tuple[Troubled, ...]:
    found = [
        Troubled(
            dataset=dataset,
            task_id=task_id,
            campaigns=tuple(each.campaigns),
            keys=tuple(each.keys),
            n_unsolved=each.outcomes[Outcome.UNSOLVED] + each.outcomes[Outcome.PARTIAL],
            causes=dict(each.causes.most_common()),
        )
        for (dataset, task_id), each in tries.items()
        if not each.outcomes[Outcome.RESOLVED]
    ]
    return tuple(sorted((each for each in found if each.n_tries >= N_TRIES), key=_by_tries))


def _by_tries(task: Troubled) -> tuple[int, str, str]:
    return -task.n_tries, task.dataset, task.task_id


def columns() -> Mapping[str, Sequence[str]]:
    """The names of what stands in a row and in each of its attempts, for the scripts that read them."""
    return {"task": COLUMNS, "attempt": ATTEMPT_COLUMNS}
