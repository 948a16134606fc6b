"""The page of a job: how it went, what its trials came to, and each of them."""

from collections.abc import Iterator

from trajgen_assets.core.dashboard import places
from trajgen_assets.core.dashboard.facts.models import JobFacts, JobSummary
from trajgen_assets.core.dashboard.render import SiteFile, page


def job_pages(job: JobFacts, summary: JobSummary) -> Iterator[SiteFile]:
    """The one page."""
    yield page("job.html", places.job_page(job.name), job=job, figures=summary.figures, slices=summary.slices)
