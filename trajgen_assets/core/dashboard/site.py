"""The site: which parts it is made of, in which order, and the building of it."""

import hashlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from trajgen_assets.core.clock import stamp
from trajgen_assets.core.dashboard.datasets.parts import data_set_parts
from trajgen_assets.core.dashboard.facts.overview import overview_of
from trajgen_assets.core.dashboard.facts.scene import Scene, looking_at
from trajgen_assets.core.dashboard.pages.history import ledger_pages, run_pages
from trajgen_assets.core.dashboard.pages.home import home_pages
from trajgen_assets.core.dashboard.pages.jobs import job_pages, jobs_pages
from trajgen_assets.core.dashboard.pages.tasks import task_pages
from trajgen_assets.core.dashboard.public import LIMITS, Public
from trajgen_assets.core.dashboard.render import SiteFile, data_file
from trajgen_assets.core.dashboard.trajectory.parts import side_parts, trial_parts
from trajgen_assets.core.dashboard.trajectory.shards import Limits
from trajgen_assets.core.dashboard.writing import Part, SiteReport, write_site
from trajgen_assets.core.locks import locked
from trajgen_assets.core.paths import Root

STATIC = Path(__file__).parent / "static"


def build_site(root: Root, folder: Path | None = None, public: Public | None = None) -> SiteReport:
    """Make the site about `root` in `folder`, by default `dashboard/site/`; what is new is written, the rest stands.

    With `public` it is one for others: with less of each text, and clean.

    Raises:
        DashboardError: `folder` holds something else.
        OSError: it cannot be written.
    """
    with locked(root.dashboard / ".lock"), looking_at(root) as scene:
        parts = parts_of(scene, LIMITS if public else Limits())
        return write_site(folder or site_folder(root), public.parts(parts) if public else parts, _stamp)


def site_folder(root: Root) -> Path:
    """Where the site lies unless it is exported."""
    return root.dashboard / "site"


def parts_of(scene: Scene, limits: Limits) -> Iterator[Part]:
    """Everything that the site consists of. What is linked to comes before what links to it."""
    code = code_digest()
    yield Part("static", code, _static_files)
    for summary in scene.jobs:
        job = scene.job(summary.name)
        yield from trial_parts(scene, job, code, limits)
        yield Part(f"job/{job.name}", f"{code} {job.digest}", partial(job_pages, job, summary))
    yield from side_parts(scene, code)
    yield from data_set_parts(scene, code)
    overview = overview_of(scene)
    yield Part("tasks", None, partial(task_pages, scene, overview))
    yield Part("ledger", None, partial(ledger_pages, scene, overview))
    yield Part("runs", None, partial(run_pages, scene))
    yield Part("jobs", None, partial(jobs_pages, scene))
    yield Part("home", None, partial(home_pages, scene, overview))


def code_digest() -> str:
    """Over all that decides how facts become files: this package, its templates and its static files."""
    here = Path(__file__).parent
    files = sorted(each for each in here.rglob("*") if each.is_file() and each.suffix != ".pyc")
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(here)}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _stamp(digest: str) -> SiteFile:
    """When the site became what it is, which pages show, and by which those that are open see that it is another."""
    return data_file("stamp", {"digest": digest, "built_at": stamp()})


def _static_files() -> Iterator[SiteFile]:
    for file in sorted(STATIC.iterdir()):
        yield SiteFile(f"static/{file.name}", file.read_bytes())
