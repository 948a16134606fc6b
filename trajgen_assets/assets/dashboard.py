"""The dashboard: made anew behind each job's result and data, and by a click at any time."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from resources.platform import PlatformResource
from trajgen_assets.assets.catalogue import Grain, Group, Words, entry
from trajgen_assets.assets.failing import failing_by
from trajgen_assets.core.dashboard.site import build_site
from trajgen_assets.core.dashboard.writing import SiteReport
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.redact import Redactor
from trajgen_assets.names import DASHBOARD_SITE, JOB_RESULT, SFT_LF


@dg.multi_asset(
    name="dashboard",
    specs=[
        entry(
            DASHBOARD_SITE,
            Words(
                what=(
                    "One materialization is the dashboard as it was then: pages about tasks, jobs, trajectories and "
                    "training data of the whole root, which any browser opens from disk. What is new since is written, "
                    "the rest stands."
                ),
                writes="`<root>/dashboard/site/`, or `dashboard/site/` of the checkout for its own `artifacts/`.",
                fails=(
                    "when its folder cannot be written; the pages that stand go on standing. Behind a job it is made "
                    "by the job's own run, which never fails by it: the run's log says why there is no new event."
                ),
            ),
            deps=[JOB_RESULT, SFT_LF],
            group=Group.DOWNSTREAM,
            grain=Grain.WHOLE,
            kinds={"html"},
            code=[build_site],
        )
    ],
)
def dashboard(context: dg.AssetExecutionContext, platform: PlatformResource) -> Iterator[dg.MaterializeResult[Any]]:
    """Make the site of the root."""
    with failing_by(Redactor.of_environ(), OSError):
        report = build_site(platform.artifacts_root())
    context.log.info(f"{report.n_written} files written, {report.n_removed} removed")
    yield dg.MaterializeResult(DASHBOARD_SITE, metadata=metadata_of(report))


def show_on_dashboard(context: dg.AssetExecutionContext, platform: Platform) -> None:
    """Make the site anew from within a run about something else, which goes on whatever becomes of it."""
    try:
        report = build_site(platform.root)
    except Exception as error:  # noqa: BLE001  a page is never worth a job
        context.log.warning(f"the dashboard was not made anew: {Redactor.of(platform.config).error(error)}")
        return
    if report.changed:
        context.log_event(dg.AssetMaterialization(DASHBOARD_SITE, metadata=metadata_of(report)))


def metadata_of(report: SiteReport) -> dict[str, Any]:
    """How large the site is, and where it lies."""
    return {
        "n_files": report.n_files,
        "n_written": report.n_written,
        "size_mb": round(report.size_bytes / 1e6, 3),
        "path": dg.MetadataValue.path(str(report.folder / "index.html")),
    }
