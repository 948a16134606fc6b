"""What stands in the ledger, and the runs that the archive keeps."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from trajgen_assets.core.dashboard import places
from trajgen_assets.core.dashboard.facts.overview import Overview
from trajgen_assets.core.dashboard.facts.scene import Scene
from trajgen_assets.core.dashboard.render import SiteFile, page
from trajgen_assets.core.errors import LedgerError
from trajgen_assets.core.ledger.models import Breaker, BreakerState, ManifestRow, TaskStatus
from trajgen_assets.core.report.archive.index import read_runs
from trajgen_assets.core.report.archive.models import RunRow


@dataclass(frozen=True)
class Standing:
    """The tasks of a data set under a campaign."""

    campaign: str
    dataset: str
    n_by_status: Mapping[str, int]
    manifest: ManifestRow | None


@dataclass(frozen=True)
class RunShown:
    """A line of the archive's index, with its times as times."""

    row: RunRow
    began_at: datetime | None
    took_s: float | None
    has_page: bool


def ledger_pages(scene: Scene, overview: Overview) -> Iterator[SiteFile]:
    """The page of the ledger."""
    yield page(
        "ledger.html",
        places.LEDGER,
        scene=scene,
        balance_fault=_balance_fault(scene),
        statuses=[status.value for status in TaskStatus],
        standing=list(_standing(scene, overview)),
        pauses=scene.ledger.pauses() if scene.ledger else [],
        breakers=list(_open_breakers(scene)),
    )


def run_pages(scene: Scene) -> Iterator[SiteFile]:
    """The page of all runs, newest first."""
    found = read_runs(scene.root)
    known = {job.name for job in scene.jobs}
    runs = [_shown(row, has_page=row.job in known) for row in reversed(found.rows)]
    yield page("runs.html", places.RUNS, runs=runs, problems=found.words)


def _balance_fault(scene: Scene) -> str | None:
    try:
        if scene.ledger is not None:
            scene.ledger.check_balance()
    except LedgerError as error:
        return str(error)
    return None


def _standing(scene: Scene, overview: Overview) -> Iterator[Standing]:
    for (campaign, dataset), n_by_status in overview.standing.items():
        manifest = scene.ledger.manifest(campaign, dataset) if scene.ledger else None
        yield Standing(campaign, dataset, n_by_status, manifest)


def _open_breakers(scene: Scene) -> Iterator[Breaker]:
    for dataset in sorted({job.dataset for job in scene.jobs}):
        breaker = scene.ledger.breaker_state(dataset) if scene.ledger else None
        if breaker is not None and breaker.state is not BreakerState.CLOSED:
            yield breaker


def _shown(row: RunRow, *, has_page: bool) -> RunShown:
    began_at, ended_at = _time(row.started_at), _time(row.completed_at)
    took_s = (ended_at - began_at).total_seconds() if began_at and ended_at else None
    return RunShown(row, began_at, took_s, has_page)


def _time(stamp: str) -> datetime | None:
    """The index keeps times as text, and a hand may have been at it."""
    try:
        return datetime.fromisoformat(stamp).astimezone(UTC)
    except ValueError:
        return None
