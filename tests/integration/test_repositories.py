"""The pinned repositories as assets: one event for each commit, and a person's work is never checked out over."""

import json
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from resources.instance import open_instance, prepare_instance
from tests.configuration import config_text
from tests.staleness import n_events
from tests.unit.checkouts.origins import Origin, anatomy
from trajgen_assets.assets.standing import standing_input
from trajgen_assets.core.config.pins import HARBOR_VERSION
from trajgen_assets.core.ledger.store import create_ledger
from trajgen_assets.core.paths import Root
from trajgen_assets.definitions import defs
from trajgen_assets.names import HARBOR_REPO, SWE_DATA_PROCESS_REPO, repository_asset

PACKAGE = {"name": "harbor", "version": HARBOR_VERSION}
OTHER = repository_asset("other")


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    return Origin(tmp_path)


@pytest.fixture
def instance(tmp_path: Path, origin: Origin, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    root = Root(tmp_path / "root")
    pins = {"other": {"url": str(origin.bare), "branch": "main"}, "harbor": PACKAGE}
    text = config_text(tmp_path / "py-cc", harbor_job={"environment": "local"})
    (tmp_path / "config.yaml").write_text(text + f"\nmeta_info: {json.dumps({'repositories': pins})}\n")
    monkeypatch.setenv("TRAJGEN_ROOT", str(root.path))
    monkeypatch.setenv("TRAJGEN_CONFIG", str(tmp_path / "config.yaml"))
    create_ledger(root)
    prepare_instance(root, max_jobs=1)
    with open_instance(root) as opened:
        yield opened


def click(instance: dg.DagsterInstance, *assets: dg.AssetKey) -> dg.ExecuteInProcessResult:
    job = defs().get_repository_def().get_job("__ASSET_JOB").get_subset(asset_selection=set(assets))
    return job.execute_in_process(instance=instance, raise_on_error=False)


def test_a_click_checks_out_what_is_pinned_and_each_commit_has_one_event(
    tmp_path: Path, instance: dg.DagsterInstance, origin: Origin
) -> None:
    for _ in range(2):
        assert click(instance, OTHER, SWE_DATA_PROCESS_REPO).success
    assert (n_events(instance, OTHER), n_events(instance, SWE_DATA_PROCESS_REPO)) == (1, 1)
    assert click(instance, HARBOR_REPO).success
    found = standing_input(instance, HARBOR_REPO, None)
    assert found is not None
    assert found.version == f"harbor {HARBOR_VERSION} of the package index"
    newer = origin.commit("two")
    assert click(instance, OTHER).success
    event = instance.get_latest_materialization_event(OTHER)
    assert event is not None
    assert event.asset_materialization is not None
    shown = {name: value.value for name, value in event.asset_materialization.metadata.items()}
    assert (shown["commit"], shown["commit_before"], shown["is_read_only"]) == (newer, origin.commits[0], True)
    assert (tmp_path / "repos" / "other" / "a.txt").read_text() == "two"


def test_a_changed_checkout_fails_its_step_with_the_mend_and_stays(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    assert click(instance, OTHER).success
    folder = tmp_path / "repos" / "other"
    (folder / "mine.txt").write_text("mine")
    before = anatomy(folder)
    (failed,) = [event for event in click(instance, OTHER).all_events if event.is_step_failure]
    data = failed.step_failure_data.user_failure_data
    assert data is not None
    assert "changed by hand" in (data.description or "")
    assert "mine.txt. Mend: commit" in (data.description or "")
    assert anatomy(folder) == before


def test_the_assets_are_those_of_the_configuration_and_two_that_are_always_there(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    keys = {spec.key for spec in defs().resolve_all_asset_specs()}
    assert keys >= {OTHER, HARBOR_REPO, SWE_DATA_PROCESS_REPO}
    (tmp_path / "config.yaml").write_text("no: configuration\n")
    keys = {spec.key for spec in defs().resolve_all_asset_specs()}
    assert OTHER not in keys
    assert keys >= {HARBOR_REPO, SWE_DATA_PROCESS_REPO}
