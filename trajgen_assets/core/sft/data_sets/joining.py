"""Which rows of several jobs become one data set. No more than a row is held, and a few words of each task."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import IO

from trajgen_assets.core.sft.data_sets.inputs import JobRows
from trajgen_assets.core.sft.data_sets.receipt import JobPart, TaskCounts
from trajgen_assets.core.sft.data_sets.selection import OnePerTask
from trajgen_assets.core.sft.encoding import encode
from trajgen_assets.core.sft.filters import Refusal
from trajgen_assets.core.sft.messages import Json
from trajgen_assets.core.sft.reasons import Reason
from trajgen_assets.core.sft.receipt import Balance
from trajgen_assets.core.sft.rows import conversation_key
from trajgen_assets.core.sft.table import RowTable

LEAST = float("-inf")


@dataclass(frozen=True)
class TrialName:
    """A trial, of whichever job."""

    job: str
    trial: str

    @classmethod
    def of(cls, facts: Json) -> "TrialName":
        """The trial that a row is of."""
        return cls(facts["job"], facts["trial"])

    def __str__(self) -> str:
        return f"{self.job}/{self.trial}"


@dataclass
class Joined:
    """What became of the rows of each job, and how often tasks stand among them."""

    parts: list[JobPart] = field(default_factory=list)
    kept_rows: Counter[str] = field(default_factory=Counter)
    job_of_task: dict[str, str] = field(default_factory=dict)
    tasks_in_several_jobs: set[str] = field(default_factory=set)

    def count(self, facts: Json, *, is_kept: bool) -> None:
        """Take in one row."""
        task, job = facts["_instance_id"], facts["job"]
        self.kept_rows[task] += is_kept
        if self.job_of_task.setdefault(task, job) != job:
            self.tasks_in_several_jobs.add(task)

    @property
    def tasks(self) -> TaskCounts:
        """The counts, sorted."""
        histogram = Counter(n for n in self.kept_rows.values() if n)
        return TaskCounts(
            n_tasks=histogram.total(),
            n_in_several_jobs=len(self.tasks_in_several_jobs),
            rows_per_task={str(n): histogram[n] for n in sorted(histogram)},
        )


def join(
    inputs: Sequence[JobRows],
    one_per_task: OnePerTask | None,
    kept: IO[bytes],
    rejected: IO[bytes],
    table: RowTable | None = None,
) -> Joined:
    """Write the rows of jobs, one after another, to `kept`, those that are left out to `rejected`, and all to `table`.

    One trial of a task is chosen before duplicates are looked for: else the row that stays of two equal ones could be
    of a trial that is not chosen, and the task would be gone.
    """
    chosen = _chosen_trials(inputs, one_per_task) if one_per_task else {}
    joined, seen = Joined(), dict[bytes, str]()
    for each in inputs:
        verdicts: list[Refusal | None] = []
        for line, row in each.rows():
            facts = row["meta_info"]["unique_info"]
            refusal = _refusal(row, facts, chosen, seen)
            joined.count(facts, is_kept=refusal is None)
            verdicts.append(refusal)
            if refusal is None:
                kept.write(line)
            else:
                rejected.write(_rejection(facts, refusal, line))
        if table is not None:
            table.add_kept(each.paths.table, verdicts)
        joined.parts.append(_part(each, verdicts))
    return joined


def _part(rows: JobRows, verdicts: list[Refusal | None]) -> JobPart:
    receipt, balance = rows.receipt, Balance.of([each.reason if each else None for each in verdicts])
    return JobPart(job=rows.job, scaffold=receipt.scaffold, signature=receipt.signature, im=rows.im, rows=balance)


def _refusal(row: Json, facts: Json, chosen: dict[str, TrialName], seen: dict[bytes, str]) -> Refusal | None:
    trial = TrialName.of(facts)
    if (taken := chosen.get(facts["_instance_id"], trial)) != trial:
        return Refusal(Reason.ONE_PER_TASK, f"of {taken}")
    own = f"{trial}, conversation {facts['conversation']}"
    first = seen.setdefault(conversation_key(row), own)
    return Refusal(Reason.DUPLICATE, f"of {first}") if first != own else None


def _rejection(facts: Json, refusal: Refusal, line: bytes) -> bytes:
    """A line of rejected.jsonl, as a job has them, with the job."""
    shown = {
        "task_id": facts["_instance_id"],
        "job": facts["job"],
        "trial": facts["trial"],
        "level": "row",
        "conversation": facts["conversation"],
        "reason": refusal.reason,
        "detail": refusal.detail,
    }
    return encode(shown)[:-1] + b',"row":' + line.rstrip(b"\n") + b"}\n"


def _chosen_trials(inputs: Sequence[JobRows], one_per_task: OnePerTask) -> dict[str, TrialName]:
    """Return the one trial of each task whose rows are taken: of equally good ones the first."""
    best: dict[str, tuple[tuple[float, float], TrialName]] = {}
    for each in inputs:
        for _, row in each.rows():
            facts = row["meta_info"]["unique_info"]
            rank = _rank(facts) if one_per_task == "best" else (0.0, 0.0)
            standing = best.get(facts["_instance_id"])
            if standing is None or rank > standing[0]:
                best[facts["_instance_id"]] = (rank, TrialName.of(facts))
    return {task: trial for task, (_, trial) in best.items()}


def _rank(facts: Json) -> tuple[float, float]:
    """Reward, then score. A subagent's row has none, so that a trial ranks by its main one."""
    reward, score = facts["reward"], (facts["_score"] or {}).get("composite_score")
    return LEAST if reward is None else reward, LEAST if score is None else score
