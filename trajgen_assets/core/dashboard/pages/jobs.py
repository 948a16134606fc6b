"""The page of all jobs, and the page of each: how it went, what its trials came to, and each of them."""

from collections import defaultdict
from collections.abc import Iterator, Mapping

from trajgen_assets.core.dashboard import places
from trajgen_assets.core.dashboard.facts.figures import SLICES
from trajgen_assets.core.dashboard.facts.models import Figures, JobFacts, JobSummary
from trajgen_assets.core.dashboard.facts.scene import Scene
from trajgen_assets.core.dashboard.pages.tasks import job_data
from trajgen_assets.core.dashboard.render import SiteFile, page

Slices = Mapping[str, Mapping[str, Figures]]
JOB_SLICES = {"model": "model", "scaffold": "scaffold", "data set": "dataset", "campaign": "campaign"}


def job_pages(job: JobFacts, summary: JobSummary) -> Iterator[SiteFile]:
    """The page, and what comparisons load of it."""
    yield job_data(job)
    yield page("job.html", places.job_page(job.name), job=job, figures=summary.figures, slices=summary.slices)


def jobs_pages(scene: Scene) -> Iterator[SiteFile]:
    """The page of all jobs."""
    jobs = scene.counted_jobs
    converted = [job.data.n_rows_kept for job in jobs if job.data]
    yield page(
        "jobs.html",
        places.JOBS,
        scene=scene,
        total=scene.figures,
        slices=_all_slices(jobs),
        n_rows=sum(converted) if converted else None,
    )


def _all_slices(jobs: tuple[JobSummary, ...]) -> Slices:
    """Apart by what jobs differ in, then by what tasks differ in; each adds up to all trials."""
    found: dict[str, dict[str, Figures]] = defaultdict(lambda: defaultdict(Figures))
    for job in jobs:
        if not job.figures.n_trials:  # what its model is may not be known yet
            continue
        for name, of in JOB_SLICES.items():
            found[name][getattr(job, of) or ""] += job.figures
        for name in SLICES:
            for value, figures in job.slices[name].items():
                found[name][value] += figures
    return {name: dict(sorted(values.items())) for name, values in found.items()}
