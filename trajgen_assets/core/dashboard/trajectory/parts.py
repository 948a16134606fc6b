"""Which parts of the site are about trials, and what each is made from."""

from collections.abc import Iterator

from trajgen_assets.core.dashboard.facts.models import JobFacts
from trajgen_assets.core.dashboard.facts.rows import RowsOfJob
from trajgen_assets.core.dashboard.facts.scene import Scene
from trajgen_assets.core.dashboard.trajectory.page import TrialPage
from trajgen_assets.core.dashboard.trajectory.shards import Limits
from trajgen_assets.core.dashboard.trajectory.side import SidePage
from trajgen_assets.core.dashboard.writing import Part


def side_parts(scene: Scene, code: str) -> Iterator[Part]:
    """Yield one part for each task of which there are two trajectories or more."""
    for task_key, attempts in scene.attempts.items():
        shown = [each for each in attempts if each.has_trajectory]
        if len(shown) > 1:
            made = SidePage(task_key, shown)
            yield Part(f"side/{task_key}", f"{code} {made.inputs}", made.make)


def trial_parts(scene: Scene, job: JobFacts, code: str, limits: Limits) -> Iterator[Part]:
    """Yield one part for each trial of a job; `code` is what decides how facts become files."""
    files = scene.root.job(job.name)
    rows = RowsOfJob(files.sft)
    for trial in job.trials:
        made = TrialPage(files, job, trial, rows, scene.attempts[trial.task_key], limits)
        yield Part(f"trial/{trial.job}/{trial.name}", f"{code} {made.inputs}", made.make)
