"""Which parts of the site are about trials, and what each is made from."""

from collections.abc import Iterator

from trajgen_assets.core.dashboard.facts.models import JobFacts
from trajgen_assets.core.dashboard.facts.rows import RowsOfJob
from trajgen_assets.core.dashboard.facts.scene import Scene
from trajgen_assets.core.dashboard.trajectory.page import TrialPage
from trajgen_assets.core.dashboard.trajectory.shards import Limits
from trajgen_assets.core.dashboard.writing import Part


def trial_parts(scene: Scene, job: JobFacts, code: str) -> Iterator[Part]:
    """Yield one part for each trial of a job; `code` is what decides how facts become files."""
    files = scene.root.job(job.name)
    rows = RowsOfJob(files.sft)
    for trial in job.trials:
        made = TrialPage(files, job, trial, rows, scene.attempts[trial.task_key], Limits())
        yield Part(f"trial/{trial.job}/{trial.name}", f"{code} {made.inputs}", made.make)
