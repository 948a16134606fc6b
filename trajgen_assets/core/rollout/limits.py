"""How long a job may take as a whole, by the limits of its own trials."""

from collections.abc import Sequence

from trajgen_assets.core.intake.task import TaskFolder, inspect_task
from trajgen_assets.core.ledger.models import JobRow
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.rollout.harness import Harness
from trajgen_assets.core.rollout.harnesses import harness_of
from trajgen_assets.core.rollout.holding import CLAIM_TTL_S
from trajgen_assets.core.rollout.interrupts import CLOSING_LIMIT_S
from trajgen_assets.core.rollout.trial_slots import least_to_begin


def longest_job_s(folders: Sequence[TaskFolder], *, n_at_once: int, harness: Harness) -> float:
    """No job over these tasks can take longer than this without something being wrong, however they are ordered.

    Slots that are never idle while a task waits are done within their share of all the work and the longest trial
    on top. Before it come staging, the proxy and a first reply; after it the clean-up.

    Args:
        n_at_once: how many trials run at a time, at least.
    """
    trials = [harness.longest_trial_s(folder) for folder in folders]
    return CLAIM_TTL_S + sum(trials) / n_at_once + max(trials) + CLOSING_LIMIT_S


def max_runtime_s(platform: Platform, job: JobRow) -> float:
    """The longest that an assigned job can take, for whoever ends runs that take longer.

    The job itself ends earlier when nothing happens in it. This is for one in which too much happens, or whose driver
    hangs. It is told from the task source, because nothing is staged yet.
    """
    inputs = platform.config.runtime_info.input
    sources = {source.dataset: source.folder for source in platform.config.sources()}
    folder = sources.get(job.dataset, platform.root.tasks / job.dataset)
    rows = platform.ledger.tasks_of_job(job.name)
    folders = [inspect_task(folder / row.task_id) for row in rows]
    want = min(inputs.harbor_job.n_concurrent, len(rows))
    n_at_once = least_to_begin(want, inputs.automation.max_trials)
    return longest_job_s(folders, n_at_once=n_at_once, harness=harness_of(platform.config))
