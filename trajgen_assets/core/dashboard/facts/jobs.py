"""A job with its trials: what the ledger says of each, completed from `trials.json` and from the receipt of its data.

The ledger is believed. A file that is missing or broken is a problem of the job, in words, and leaves unknown what it
would have told.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import TypeAdapter

from trajgen_assets.core.dashboard.facts.models import Converted, Data, JobFacts, Outcome, Trial
from trajgen_assets.core.errors import ConversionError
from trajgen_assets.core.keys import TaskKey
from trajgen_assets.core.ledger.models import AttemptKind, AttemptRow, CaptureVerdict, JobRow
from trajgen_assets.core.paths import JobPaths
from trajgen_assets.core.rollout.causes import kind_of
from trajgen_assets.core.rollout.trials import TrialEntry, TrialsFile, load_trials
from trajgen_assets.core.sft.receipt import Receipt, SftPaths, load_receipt

_TRIALS: TypeAdapter[tuple[Trial, ...]] = TypeAdapter(tuple[Trial, ...])

_MEASURED = (
    "accepted", "cause", "note", "reward", "trajectory_sha256", "n_input_tokens", "n_output_tokens", "n_cache_tokens",
    "cost_usd", "started_at", "finished_at", "duration_s",
)  # fmt: skip

_OUTCOMES = {
    AttemptKind.COUNTED: Outcome.AGENT,
    AttemptKind.CAPTURE: Outcome.CAPTURE,
    AttemptKind.OUTSIDE: Outcome.OUTSIDE,
    AttemptKind.FREE: Outcome.OUTSIDE,
}


@dataclass(frozen=True)
class _OnDisk:
    """What a job's own files tell, and what is wrong with them."""

    file: TrialsFile | None
    receipt: Receipt | None
    problems: list[str] = field(default_factory=list)


def read_job(files: JobPaths, row: JobRow, attempts: Sequence[tuple[TaskKey, AttemptRow]]) -> JobFacts:
    """The facts of a job that the ledger knows."""
    disk = _read_disk(files, is_due=bool(attempts))
    entries = {entry.trial_name: entry for entry in disk.file.trials if entry.trial_name} if disk.file else {}
    trials = tuple(_trial(key, attempt, entries.get(attempt.trial_name)) for key, attempt in attempts)
    known = {attempt.trial_name for _, attempt in attempts}
    if unknown := sorted(entries.keys() - known):
        disk.problems.append(f"the ledger does not know {len(unknown)} of its trials, such as {unknown[0]}")
    head = {
        "dataset": row.dataset,
        "campaign": row.campaign,
        "state": row.state,
        "n_tasks": row.n_tasks,
        "note": row.note,
        "assigned_at": row.assigned_at,
        "started_at": row.started_at,
        "finished_at": row.finished_at,
    }
    return _facts(row.name, head, trials, disk)


def read_unknown_job(files: JobPaths) -> JobFacts | None:
    """The facts of a job folder that the ledger does not know; None where it has no `trials.json`."""
    if not files.trials.exists():
        return None
    disk = _read_disk(files, is_due=True)
    disk.problems.append("the ledger does not know this job: `trajgen ledger import` takes it over")
    entries = disk.file.trials if disk.file else ()
    trials = tuple(_trial_on_disk(entry, files.dir.name) for entry in entries if entry.trial_name)
    names = ("state", "n_tasks", "note", "assigned_at", "started_at", "finished_at")
    head: dict[str, Any] = dict.fromkeys(names)
    head |= {"dataset": disk.file.dataset if disk.file else "", "campaign": disk.file.campaign if disk.file else ""}
    return _facts(files.dir.name, head, trials, disk)


def _read_disk(files: JobPaths, *, is_due: bool) -> _OnDisk:
    problems: list[str] = []
    file: TrialsFile | None = None
    if is_due or files.trials.exists():
        try:
            file = load_trials(files.trials)
        except (ConversionError, OSError) as error:
            problems.append(str(error))
    receipt = load_receipt(files.sft)
    if receipt is None and SftPaths(files.sft).receipt.exists():
        problems.append("receipt.json of its training data cannot be read: the next conversion makes it anew")
    return _OnDisk(file, receipt, problems)


def _facts(name: str, head: Mapping[str, Any], trials: Iterable[Trial], disk: _OnDisk) -> JobFacts:
    converted = _converted(disk.receipt)
    found = tuple(_with_data(trial, converted) for trial in trials)
    fields = {
        **head,
        "scaffold": disk.file.scaffold if disk.file else None,
        "agent": " ".join(filter(None, (disk.file.agent.name, disk.file.agent.version))) if disk.file else None,
        "model": disk.file.model if disk.file else None,
        "data": _data(disk.receipt),
        "problems": tuple(disk.problems),
    }
    digest = hashlib.sha256(repr((name, fields)).encode("utf-8", "backslashreplace") + _TRIALS.dump_json(found))
    return JobFacts(name=name, trials=found, digest=digest.hexdigest(), **fields)


def _trial(key: TaskKey, attempt: AttemptRow, entry: TrialEntry | None) -> Trial:
    return Trial(
        job=attempt.job,
        task_id=key.task_id,
        task_key=key.partition,
        name=attempt.trial_name,
        attempt=attempt.ordinal,
        outcome=outcome_of(attempt.kind, attempt.reward, accepted=attempt.accepted),
        kind=attempt.kind,
        capture=attempt.capture,
        trajectory=entry.trajectory if entry else None,
        **_measured(attempt),
        **_of_task(entry),
    )


def _trial_on_disk(entry: TrialEntry, job: str) -> Trial:
    kind = AttemptKind.GRADED if entry.cause is None and entry.reward is not None else kind_of(entry.cause or "")
    return Trial(
        job=job,
        task_id=entry.task_id,
        task_key=entry.task_key,
        name=entry.trial_name or "",
        attempt=entry.attempt,
        outcome=outcome_of(kind, entry.reward, accepted=entry.accepted),
        kind=kind,
        capture=CaptureVerdict(entry.capture) if entry.capture else None,
        trajectory=entry.trajectory,
        **_measured(entry),
        **_of_task(entry),
    )


def _measured(source: AttemptRow | TrialEntry) -> dict[str, Any]:
    """What the ledger and `trials.json` call by the same names."""
    return {name: getattr(source, name) for name in _MEASURED}


def outcome_of(kind: AttemptKind, reward: float | None, *, accepted: bool) -> Outcome:
    """How a trial ended. One that was graded and is accepted no more was superseded by another."""
    if kind is not AttemptKind.GRADED:
        return _OUTCOMES[kind]
    if not accepted or reward is None:
        return Outcome.SUPERSEDED
    if reward >= 1:
        return Outcome.RESOLVED
    return Outcome.PARTIAL if reward > 0 else Outcome.UNSOLVED


def _of_task(entry: TrialEntry | None) -> dict[str, Any]:
    metadata = entry.task.metadata if entry else {}
    return {name: _word(metadata.get(name)) for name in ("language", "difficulty", "category")}


def _word(value: object) -> str | None:
    """A value of a task's own metadata, by which trials are told apart: a short text, or nothing."""
    text = str(value).strip() if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
    return text[:80] or None


def _with_data(trial: Trial, converted: Mapping[str, Converted]) -> Trial:
    return replace(trial, converted=converted.get(trial.name)) if trial.name in converted else trial


def _converted(receipt: Receipt | None) -> dict[str, Converted]:
    per_trial = receipt.sft_im.per_trial if receipt else ()
    return {
        each.trial: Converted(each.rows.n_kept, each.rows.rejected, each.reason, each.detail)
        for each in per_trial
        if each.trial is not None
    }


def _data(receipt: Receipt | None) -> Data | None:
    if receipt is None:
        return None
    trials, rows = receipt.sft_im.trials, receipt.sft_im.rows
    return Data(
        trials.n_in, trials.n_kept, trials.rejected, rows.n_in, rows.n_kept, rows.rejected, receipt.sft_lf is not None
    )
