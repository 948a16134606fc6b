"""The dashboard behind a job: made by the run that makes the job's data, which goes on whatever becomes of it."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from tests.integration.finished_job import ALL, JOB, Host, finished_host
from trajgen_assets.core.dashboard.site import site_folder
from trajgen_assets.definitions import defs
from trajgen_assets.names import DASHBOARD_SITE


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    with finished_host(tmp_path, monkeypatch) as made:
        yield made


def n_events(host: Host) -> int:
    return len(host.instance.fetch_materializations(DASHBOARD_SITE, limit=10).records)


def test_the_run_of_a_job_s_data_makes_the_dashboard_behind_it_and_once(host: Host) -> None:
    (request,), _ = host.tick()
    assert host.follow(request).success
    site = site_folder(host.root)
    assert "2</b> registered" in (site / "index.html").read_text()
    assert (site / "jobs" / JOB / "index.html").exists()
    assert host.materialize(ALL).success
    assert n_events(host) == 1  # the second time nothing had changed


def test_a_dashboard_that_cannot_be_made_keeps_no_job_from_its_data(host: Host) -> None:
    site = site_folder(host.root)
    site.mkdir(parents=True)
    (site / "thesis.txt").write_text("mine")
    (request,), _ = host.tick()
    result = host.follow(request)
    assert result.success
    assert host.materialized() == dict.fromkeys(ALL, 1)
    assert n_events(host) == 0
    said = [entry.user_message for entry in host.instance.all_logs(result.run_id)]
    assert any("the dashboard was not made anew: the folder holds something else" in text for text in said)


def test_a_click_makes_it_alone(host: Host) -> None:
    job = defs().get_repository_def().get_job("__ASSET_JOB").get_subset(asset_selection={DASHBOARD_SITE})
    result = job.execute_in_process(instance=host.instance)
    assert result.success
    (event,) = result.asset_materializations_for_node("dashboard")
    assert event.metadata["path"] == dg.MetadataValue.path(str(site_folder(host.root) / "index.html"))
