"""Which jobs training data can be made of, for whoever names none."""

from trajgen_assets.core.errors import ConversionError
from trajgen_assets.core.ledger.models import JobRow
from trajgen_assets.core.ledger.removals import REMOVED
from trajgen_assets.core.paths import Root
from trajgen_assets.core.rollout.trials import is_removed, load_trials
from trajgen_assets.core.sft.receipt import load_receipt
from trajgen_assets.core.sft.scaffolds import why_no_data


def why_left_out(root: Root, job: JobRow) -> str | None:
    """Why no training data can be made of a job now, in words; None where it may be.

    What is wrong with a trials.json that cannot be read is said when the job is converted.
    """
    if not job.state.is_over:
        return f"it is {job.state.value}"
    trials = root.job(job.name).trials
    if not trials.exists():
        return "it left no trials.json"
    if is_removed(root.job(job.name)) and load_receipt(root.job(job.name).sft) is None:
        return REMOVED
    try:
        return why_no_data(load_trials(trials))
    except ConversionError:
        return None
