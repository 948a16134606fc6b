"""Runs of OpenHands that were made elsewhere: which of their rows can be taken in, and which are known already.

A row's trial is named after the digest of what it holds, so that a row that comes again is known again, wherever it
lies. What an evaluator found out counts, too: a row that was ingested without a verdict is new when there is one.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from trajgen_assets.core.errors import ConversionError, ImportRefusedError
from trajgen_assets.core.keys import TaskKey, is_safe_name
from trajgen_assets.core.openhands.evaluation import REWARDS, Evaluation
from trajgen_assets.core.openhands.layout import RunFolder, find_runs
from trajgen_assets.core.openhands.reports import found_evaluation
from trajgen_assets.core.openhands.rows import OutputRow, PutAside, read_output
from trajgen_assets.core.paths import HOST_NAME, JobPaths, Root
from trajgen_assets.core.rollout.trials import load_trials

SCAFFOLD = "openhands_codeact"
PREFIX = "openhands-"

# What others add to a row after its end.
_LATER = frozenset({"report", "resolved", "pilot2_eval_details"})
_SHORT = 200

Resolve = Callable[[str], TaskKey]
"""An instance id to the task that it means."""


@dataclass(frozen=True)
class FoundRow:
    """A row that can be taken in."""

    run: RunFolder
    row: OutputRow
    key: TaskKey
    evaluation: Evaluation
    trial_name: str


@dataclass
class FoundRuns:
    """What a folder holds.

    Attributes:
        rows: those that are new, of each run and data set apart.
        n_known: rows that are in a job already.
        aside: lines that are no rows, and rows that cannot be used, by `<file>:<line>` or `<file>:<id>`.
    """

    rows: dict[tuple[Path, str], list[FoundRow]] = field(default_factory=dict)
    n_known: int = 0
    aside: dict[str, str] = field(default_factory=dict)

    @property
    def n_new(self) -> int:
        return sum(map(len, self.rows.values()))


def find_rows(folder: Path, known: Collection[str], resolve: Resolve) -> FoundRuns:
    """Read every run at or below `folder`, but rows whose trials are `known`.

    Raises:
        ImportRefusedError: there is no such folder, or no run in it, or a job that was rolled out here or in another
            root, or it is not plain which task a row is of.
        HarnessError: an `output.jsonl` cannot be read.
    """
    runs = [*find_runs(folder)] if folder.is_dir() else []
    if not runs:
        mend = "name a folder with an output.jsonl of run_infer in it, at any depth"
        raise ImportRefusedError("no run of OpenHands lies there", where=folder, mend=mend)
    found, seen = FoundRuns(), set(known)
    for run in runs:
        refuse_own_job(run)
        output = read_output(run.output)
        found.aside |= {f"{run.output}:{each.line}": _words_of(each) for each in output.aside}
        for row in output.rows:
            _take(found, run, row, seen, resolve)
    return found


def refuse_own_job(run: RunFolder) -> None:
    """Of a job that was rolled out by `start` each row is an attempt already, and lies there several times.

    Raises:
        ImportRefusedError: the run is in the folder of one.
    """
    jobs = (folder for folder in run.path.parents if (folder / HOST_NAME).is_file())
    if (job := next(jobs, None)) is not None:
        mend = "name other folders; one of another root is copied into jobs/ and taken over by `trajgen ledger import`"
        raise ImportRefusedError("a job of trajgen is no run that was made elsewhere", where=job, mend=mend)


def _take(found: FoundRuns, run: RunFolder, row: OutputRow, seen: set[str], resolve: Resolve) -> None:
    if not is_safe_name(row.instance_id):
        found.aside[f"{run.output}:{row.instance_id[:_SHORT]}"] = "bad_id: its id cannot be the name of a task"
        return
    evaluation = found_evaluation(run.path, row)
    trial_name = trial_name_of(row, evaluation.reward)
    if trial_name in seen or (evaluation.reward is None and _was_graded(row, seen)):
        found.n_known += 1
        return
    seen.add(trial_name)
    each = FoundRow(run, row, resolve(row.instance_id), evaluation, trial_name)
    found.rows.setdefault((run.path, each.key.dataset), []).append(each)


def _was_graded(row: OutputRow, seen: Collection[str]) -> bool:
    """Whether a row that has no verdict here is known with one: it is a copy without its reports."""
    return any(trial_name_of(row, reward) in seen for reward in set(REWARDS.values()))


def trial_name_of(row: OutputRow, reward: float | None) -> str:
    """Name the trial of a row after what the row holds and what its patch was found to be worth."""
    content = row.model_dump(mode="json") | {"reward": reward}
    kept = {key: value for key, value in content.items() if key not in _LATER}
    digest = hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()
    return f"{row.instance_id[:32].rstrip('._-+')}__{digest[:20]}"


def known_trials(root: Root) -> set[str]:
    """Names of the trials in every job that was ingested and lies on disk."""
    return {str(entry.trial_name) for files in ingested_jobs(root) for entry in load_trials(files.trials).trials}


def ingested_jobs(root: Root) -> Iterator[JobPaths]:
    """Yield the jobs that were ingested, as they lie on disk."""
    for path in sorted(root.jobs.glob(f"{PREFIX}*/trials.json")):
        files = root.job(path.parent.name)
        try:
            if load_trials(files.trials).scaffold == SCAFFOLD:
                yield files
        except ConversionError:  # `trajgen ledger check` names it
            continue


def _words_of(aside: PutAside) -> str:
    return f"{aside.why}: {aside.instance_id + ': ' if aside.instance_id else ''}{aside.detail}"
