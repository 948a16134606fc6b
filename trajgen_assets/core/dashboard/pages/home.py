"""Home: the funnel from the manifest into a data set, and the root in a few figures."""

from collections.abc import Iterator

from trajgen_assets.core.dashboard import places
from trajgen_assets.core.dashboard.charts import bars
from trajgen_assets.core.dashboard.facts.overview import Overview
from trajgen_assets.core.dashboard.facts.scene import Scene
from trajgen_assets.core.dashboard.render import SiteFile, page

N_RECENT_JOBS = 10


def home_pages(scene: Scene, overview: Overview) -> Iterator[SiteFile]:
    """The one page."""
    jobs = scene.counted_jobs
    yield page(
        "home.html",
        places.HOME,
        scene=scene,
        funnel=overview.funnel,
        n_beside=overview.n_beside,
        widths=bars([step.n_reached for step in overview.funnel]),
        figures=scene.figures,
        recent=scene.jobs[:N_RECENT_JOBS],
        n_scaffolds=len({job.scaffold for job in jobs if job.scaffold}),
        n_models=len({job.model for job in jobs if job.model}),
        n_datasets=len({job.dataset for job in jobs}),
        languages=sorted({name for job in jobs for name in job.slices["language"] if name}),
        n_rows=sum(job.data.n_rows_kept for job in jobs if job.data) if any(job.data for job in jobs) else None,
    )
