"""What became of each trial of a job: refused before it went in, come out as rows, or not come out."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from trajgen_assets.core.atomic import open_atomic
from trajgen_assets.core.errors import ConversionError
from trajgen_assets.core.rollout.trials import TrialEntry
from trajgen_assets.core.sft.encoding import encode
from trajgen_assets.core.sft.engine.job_folder import record_fault
from trajgen_assets.core.sft.filters import Refusal, first_refusal
from trajgen_assets.core.sft.plan import Plan
from trajgen_assets.core.sft.reasons import Reason
from trajgen_assets.core.sft.receipt import Balance, TrialReceipt

Judged = Sequence[tuple[TrialEntry, Refusal | None]]


def judged_before(plan: Plan) -> Judged:
    """Every trial of the job, in its order, with why it is not given to the converter, if it is not."""
    filters, unknown = plan.filters, plan.settings.unknown
    return [
        (trial, first_refusal(filters, trial, unknown=unknown) or record_fault(plan, trial))
        for trial in plan.trials.trials
    ]


def by_task(judged: Judged) -> dict[str, TrialEntry]:
    """The trials that go in, by their tasks, which is all that the converter's rows name.

    Raises:
        ConversionError: two of them are of one task.
    """
    taken = [trial for trial, refusal in judged if refusal is None]
    named = {trial.task_id: trial for trial in taken}
    if len(named) != len(taken):
        mend = "set sft_conversion.engine to builtin for this job"
        raise ConversionError("two trials of one task cannot be told apart in rows of swe_data_process", mend=mend)
    return named


def account_for(judged: Judged, n_rows: Mapping[str, int], max_instances: int | None) -> tuple[TrialReceipt, ...]:
    """The receipts of all trials.

    Args:
        judged: what was decided before.
        n_rows: how many rows came out, by task.
        max_instances: trials that the converter keeps at most. It takes them in order, so those behind the last are
            left out for that.
    """
    is_full = max_instances is not None and len(n_rows) == max_instances
    last = max((place for place, (trial, _) in enumerate(judged) if trial.task_id in n_rows), default=-1)
    return tuple(
        _receipt(trial, refusal, n_rows.get(trial.task_id, 0), is_beyond=is_full and place > last)
        for place, (trial, refusal) in enumerate(judged)
    )


def write_rejected(trials: Sequence[TrialReceipt], path: Path) -> None:
    """Write a line for each trial of which there is no row, as the built-in converter does."""
    with open_atomic(path) as file:
        for each in trials:
            if each.reason is not None:
                label = {"task_id": each.task_id, "trial": each.trial, "level": "trial"}
                file.write(encode(label | {"reason": each.reason, "detail": each.detail}) + b"\n")


def _receipt(trial: TrialEntry, refusal: Refusal | None, n_rows: int, *, is_beyond: bool) -> TrialReceipt:
    n_rows = 0 if refusal else n_rows  # another trial of its task went in
    if refusal is None and not n_rows:
        refusal = Refusal(Reason.MAX_INSTANCES) if is_beyond else Refusal(Reason.NOT_CONVERTED)
    return TrialReceipt(
        task_id=trial.task_id,
        trial=trial.trial_name,
        attempt=trial.attempt,
        reason=refusal.reason.value if refusal else None,
        detail=refusal.detail if refusal else None,
        rows=Balance(n_in=n_rows, n_kept=n_rows),
    )
