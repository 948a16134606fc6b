"""The first step of a conversion: im.jsonl, rejected.jsonl and rows.parquet of a job, one trial at a time."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from trajgen_assets.core.atomic import open_atomic
from trajgen_assets.core.rollout.patch import PatchRecord
from trajgen_assets.core.rollout.trials import TrialEntry
from trajgen_assets.core.sft.encoding import encode
from trajgen_assets.core.sft.filters import first_refusal
from trajgen_assets.core.sft.messages import Json
from trajgen_assets.core.sft.parallel import n_cores, n_workers_for, verdicts_on
from trajgen_assets.core.sft.plan import Plan
from trajgen_assets.core.sft.reasons import Reason
from trajgen_assets.core.sft.receipt import Balance, ImReceipt, SftPaths, TrialReceipt, digests
from trajgen_assets.core.sft.rows import TrialRows, without_duplicates
from trajgen_assets.core.sft.score.rules import SCORE_VERSION
from trajgen_assets.core.sft.table import RowTable, trial_columns


@dataclass
class Tally:
    """The verdicts of one conversion, as they come in."""

    per_trial: list[TrialReceipt] = field(default_factory=list)
    trial_reasons: list[Reason | None] = field(default_factory=list)
    row_reasons: list[Reason | None] = field(default_factory=list)
    n_kept: int = 0
    placeholders: Counter[str] = field(default_factory=Counter)

    def add(self, trial: TrialEntry, verdict: TrialRows) -> None:
        """Take in the verdict on one trial and on its rows."""
        reasons = [row.reason for row in verdict.rows]
        kept = [row for row in verdict.rows if row.reason is None]
        self.n_kept += verdict.reason is None
        self.trial_reasons.append(verdict.reason)
        self.row_reasons.extend(reasons)
        for row in kept:
            self.placeholders.update(row.n_placeholders)
        self.per_trial.append(
            TrialReceipt(
                task_id=trial.task_id,
                trial=trial.trial_name,
                attempt=trial.attempt,
                reason=verdict.reason,
                detail=verdict.detail,
                rows=Balance.of(reasons),
                n_unmatched_reasoning=sum(row.n_unmatched_reasoning for row in kept),
                n_joined_user_messages=sum(row.n_joined_user_messages for row in kept),
                n_cut_rows=sum(row.n_left_out_messages > 0 for row in kept),
            )
        )


def write_im(plan: Plan, folder: Path, *, n_workers: int | None = None) -> ImReceipt:
    """Write im.jsonl, rejected.jsonl and rows.parquet of a job into `folder`.

    Args:
        plan: what the conversion starts from.
        folder: where to write.
        n_workers: processes to convert with, 0 for this one alone; None for as many as the job is worth.

    Raises:
        ConversionError: a process died.
    """
    paths = SftPaths(folder)
    with open_atomic(paths.im) as kept, open_atomic(paths.rejected) as rejected:
        tally = convert_trials(plan, kept, rejected, table := RowTable(), n_workers)
    table.write(paths.table)
    return ImReceipt(
        signature=plan.signature(),
        score_version=SCORE_VERSION,
        trials=Balance.of(tally.trial_reasons),
        rows=Balance.of(tally.row_reasons),
        per_trial=tuple(tally.per_trial),
        placeholders=dict(sorted(tally.placeholders.items())),
        files=digests(paths.im, paths.rejected, paths.table),
    )


def convert_trials(
    plan: Plan, kept: IO[bytes], rejected: IO[bytes], table: RowTable | None, n_workers: int | None
) -> Tally:
    """Write kept rows of all trials to one file, rejected ones with their reasons to the other, and a line of each to
    `table`, if there is one.

    Raises:
        ConversionError: a process died.
    """
    tally = Tally()
    filters = plan.filters
    refusals = [first_refusal(filters, trial, unknown=plan.settings.unknown) for trial in plan.trials.trials]
    taken = plan.restricted_to(
        trial for trial, refusal in zip(plan.trials.trials, refusals, strict=True) if refusal is None
    )
    seen: dict[bytes, str] = {}
    n_workers = n_workers_for(taken, n_cores=n_cores()) if n_workers is None else n_workers
    with verdicts_on(taken, n_workers=n_workers) as verdicts:
        for trial, refusal in zip(plan.trials.trials, refusals, strict=True):
            if refusal is None and tally.n_kept == plan.settings.max_instances:
                verdict = TrialRows(Reason.MAX_INSTANCES)
            elif refusal is None:
                verdict = without_duplicates(next(verdicts), str(trial.trial_name), seen)
            else:
                verdict = TrialRows(refusal.reason, refusal.detail)
            _write_trial(trial, verdict, kept, rejected)
            if table is not None:
                _add_lines(table, trial, verdict, plan.patches.get(str(trial.trial_name)))
            tally.add(trial, verdict)
    return tally


def _write_trial(trial: TrialEntry, verdict: TrialRows, kept: IO[bytes], rejected: IO[bytes]) -> None:
    """Write kept rows to one file; a trial's rejection, and rejected rows with their reason, to the other."""
    label: Json = {"task_id": trial.task_id, "trial": trial.trial_name}
    if verdict.reason is not None:
        rejected.write(encode({**label, "level": "trial", "reason": verdict.reason, "detail": verdict.detail}) + b"\n")
    for ordinal, row in enumerate(verdict.rows):
        if row.reason is None:
            kept.write(row.line + b"\n")
        else:
            refusal = {**label, "level": "row", "conversation": ordinal, "reason": row.reason, "detail": row.detail}
            rejected.write(encode(refusal)[:-1] + b',"row":' + row.line + b"}\n")


def _add_lines(table: RowTable, trial: TrialEntry, verdict: TrialRows, patch: PatchRecord | None) -> None:
    for row in verdict.rows:
        why: Json = {"reason": row.reason.value if row.reason else None, "detail": row.detail}
        table.add(row.columns | trial_columns(trial, patch) | why)
