"""The environments as assets: one event for each version, and what was made in another one is out of date."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from resources.instance import open_instance, prepare_instance
from resources.platform import PlatformResource
from tests.staleness import n_events, stale_reasons
from tests.unit.preflight.twins import write_config, write_tasks
from tests.unit.provision.twins import python_twin
from trajgen_assets.assets.environments import report_environments
from trajgen_assets.assets.standing import Input, log_version, standing_input
from trajgen_assets.core.errors import EnvironmentBuildError
from trajgen_assets.core.intake.registration import register_source
from trajgen_assets.core.keys import MAIN_CAMPAIGN
from trajgen_assets.core.ledger.models import AskedBy, BreakerState, JobState
from trajgen_assets.core.ledger.store import create_ledger
from trajgen_assets.core.paths import Root
from trajgen_assets.core.provision.environments import standing_environment
from trajgen_assets.core.provision.on_demand import JOB_ENVIRONMENTS, inputs_of
from trajgen_assets.core.provision.record import Record
from trajgen_assets.core.provision.setup import HARBOR
from trajgen_assets.core.report.archive import archived, read_metadata, read_runs
from trajgen_assets.core.rollout.batch import assign_batch
from trajgen_assets.core.rollout.job import run_job
from trajgen_assets.core.rollout.record import SilentListener
from trajgen_assets.definitions import defs
from trajgen_assets.names import HARBOR_ENV, LITELLM_ENV, PREPARED_TASKS, TRAJECTORIES
from trajgen_assets.partitions import show_new_partitions

TASK = "d/t-1"
ASSET_JOB = "__ASSET_JOB"


class Site:
    """A root whose environments are made of scripts; an index that does not answer stands for the network."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = Root(folder / "root", folder / "env")
        for name in JOB_ENVIRONMENTS.values():
            self.has_built(name, "3.13.2")

    def has_built(self, name: str, version: str) -> None:
        """As if the environment `name` had been built on Python `version`."""
        python = python_twin(self.folder / f"python{version}", version)
        record = Record(name, str(python), version, inputs_of(name), "2026-01-01T00:00:00Z", build_s=1.5)
        home = self.root.env / "store" / f"{name}-{record.digest}"
        link = self.root.env / name
        (home / "bin").mkdir(parents=True, exist_ok=True)
        (home / "bin" / "python").unlink(missing_ok=True)
        (home / "bin" / "python").symlink_to(python)
        record.write(home)
        link.unlink(missing_ok=True)
        link.symlink_to(home)

    def digest(self, name: str) -> str:
        standing = standing_environment(self.root.env, name)
        assert standing is not None
        return standing.record.digest


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    site = Site(tmp_path)
    config = write_config(tmp_path / "config.yaml", source=write_tasks(tmp_path / "d", "t-1"))  # nothing listens
    monkeypatch.setenv("TRAJGEN_ROOT", str(site.root.path))
    monkeypatch.setenv("TRAJGEN_ENV_DIR", str(site.root.env))
    monkeypatch.setenv("TRAJGEN_CONFIG", str(config))
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    for name in [name for name in os.environ if name.startswith("PIP_") and name != "PIP_CERT"]:
        monkeypatch.delenv(name)
    return site


@pytest.fixture
def instance(site: Site) -> Iterator[dg.DagsterInstance]:
    create_ledger(site.root)
    prepare_instance(site.root, max_jobs=1)
    with PlatformResource().opened() as platform, open_instance(site.root) as opened:
        register_source(platform.ledger, platform.config.source("d"), MAIN_CAMPAIGN)
        show_new_partitions(opened, platform.ledger)
        yield opened


def materialize(
    instance: dg.DagsterInstance, *assets: dg.AssetKey, partition: str | None = None
) -> dg.ExecuteInProcessResult:
    """What a click on these assets does."""
    job = defs().get_repository_def().get_job(ASSET_JOB).get_subset(asset_selection=set(assets))
    return job.execute_in_process(instance=instance, partition_key=partition, raise_on_error=False)


def log_trajectory(instance: dg.DagsterInstance, site: Site, *, with_inputs: bool = True) -> None:
    """The events of a rollout in the environments that stand."""
    made_in = [
        Input(HARBOR_ENV, site.digest(HARBOR)),
        Input(LITELLM_ENV, site.digest(JOB_ENVIRONMENTS["litellm"])),
    ]

    @dg.op
    def roll_out(context: dg.OpExecutionContext) -> None:
        log_version(context, PREPARED_TASKS, TASK, "content", {})  # type: ignore[arg-type]
        prepared = standing_input(instance, PREPARED_TASKS, TASK)
        assert prepared is not None
        log_version(context, TRAJECTORIES, TASK, "t", {}, [*made_in, prepared] if with_inputs else ())  # type: ignore[arg-type]

    @dg.job
    def rollout_twin() -> None:
        roll_out()

    assert rollout_twin.execute_in_process(instance=instance).success


def log_prepared(instance: dg.DagsterInstance, digest: str) -> None:
    tags = {"dagster/data_version": digest}
    instance.report_runless_asset_event(dg.AssetMaterialization(PREPARED_TASKS, partition=TASK, tags=tags))


def test_an_environment_that_cannot_be_built_fails_with_the_mend_and_leaves_the_one_that_stands(
    site: Site, instance: dg.DagsterInstance
) -> None:
    before = os.readlink(site.root.env / HARBOR)
    python = (site.root.env / HARBOR / "bin" / "python").resolve()
    python_twin(python, "3.13.9")  # an upgrade in its place
    result = materialize(instance, HARBOR_ENV)
    (event,) = [each for each in result.all_events if each.is_step_failure]
    data = event.step_failure_data.user_failure_data
    assert data is not None
    assert "an environment could not be built" in (data.description or "")
    assert os.readlink(site.root.env / HARBOR) == before
    assert n_events(instance, HARBOR_ENV) == 0


def test_an_environment_is_reported_once_for_each_version(site: Site, instance: dg.DagsterInstance) -> None:
    assert materialize(instance, HARBOR_ENV).success
    assert materialize(instance, HARBOR_ENV).success
    report_environments(instance, site.root)
    assert (n_events(instance, HARBOR_ENV), n_events(instance, LITELLM_ENV)) == (1, 1)
    site.has_built(HARBOR, "3.13.3")
    report_environments(instance, site.root)
    assert (n_events(instance, HARBOR_ENV), n_events(instance, LITELLM_ENV)) == (2, 1)
    standing = standing_input(instance, HARBOR_ENV, None)
    assert standing is not None
    assert standing.version == site.digest(HARBOR)


def test_its_event_says_what_it_is(site: Site, instance: dg.DagsterInstance) -> None:
    materialize(instance, HARBOR_ENV)
    event = instance.get_latest_materialization_event(HARBOR_ENV)
    assert event is not None
    assert event.asset_materialization is not None
    shown = {name: value.value for name, value in event.asset_materialization.metadata.items()}
    assert shown["digest"] == site.digest(HARBOR)
    assert shown["interpreter"] == f"3.13.2 at {site.folder / 'python3.13.2'}"
    assert shown["path"] == str((site.root.env / HARBOR).resolve())
    assert (shown["packages"], shown["build_s"]) == (0, 1.5)
    assert stale_reasons(instance, HARBOR_ENV) == []


@pytest.mark.parametrize("by_click", [True, False], ids=["by click", "by command"])
def test_a_trajectory_is_out_of_date_in_another_environment_and_current_when_its_own_is_back(
    site: Site, instance: dg.DagsterInstance, by_click: bool
) -> None:
    def show() -> None:
        if by_click:
            assert materialize(instance, HARBOR_ENV, LITELLM_ENV).success
        else:
            report_environments(instance, site.root)

    show()
    log_trajectory(instance, site)
    assert stale_reasons(instance, TRAJECTORIES, TASK) == []
    site.has_built(HARBOR, "3.13.3")
    show()
    assert stale_reasons(instance, TRAJECTORIES, TASK) == [f"{HARBOR_ENV}: has a new dependency data version"]
    assert stale_reasons(instance, PREPARED_TASKS, TASK) == []
    site.has_built(HARBOR, "3.13.2")
    show()
    assert stale_reasons(instance, TRAJECTORIES, TASK) == []


def test_a_task_that_is_staged_again_leaves_its_trajectory_current_unless_its_content_changed(
    site: Site, instance: dg.DagsterInstance
) -> None:
    report_environments(instance, site.root)
    log_trajectory(instance, site)
    log_prepared(instance, "content")
    assert stale_reasons(instance, TRAJECTORIES, TASK) == []
    log_prepared(instance, "other content")
    assert len(stale_reasons(instance, TRAJECTORIES, TASK)) == 1


def test_a_trajectory_without_a_record_of_its_inputs_is_out_of_date_only_after_a_later_environment(
    site: Site, instance: dg.DagsterInstance
) -> None:
    report_environments(instance, site.root)
    log_trajectory(instance, site, with_inputs=False)
    report_environments(instance, site.root)
    assert stale_reasons(instance, TRAJECTORIES, TASK) == []
    site.has_built(HARBOR, "3.13.3")
    report_environments(instance, site.root)
    assert len(stale_reasons(instance, TRAJECTORIES, TASK)) == 1


def test_nothing_rolls_out_by_itself_what_is_out_of_date() -> None:
    repository = defs().get_repository_def()
    graph = repository.asset_graph
    assert [key for key in graph.get_all_asset_keys() if graph.get(key).automation_condition is not None] == []
    assert {sensor.name for sensor in repository.sensor_defs} == {"verified_tasks", "finished_jobs", "alerts"}


def test_trajectories_are_made_in_both_environments_and_tasks_in_none() -> None:
    graph = defs().get_repository_def().asset_graph
    assert graph.get(TRAJECTORIES).parent_keys == {PREPARED_TASKS, HARBOR_ENV, LITELLM_ENV}
    assert graph.get(PREPARED_TASKS).parent_keys.isdisjoint({HARBOR_ENV, LITELLM_ENV})


def test_a_click_on_an_unchanged_environment_and_a_task_does_not_skip_the_task(
    site: Site, instance: dg.DagsterInstance
) -> None:
    materialize(instance, HARBOR_ENV, LITELLM_ENV)
    result = materialize(instance, HARBOR_ENV, LITELLM_ENV, PREPARED_TASKS, TRAJECTORIES, partition=TASK)
    (failed,) = [event.step_key for event in result.all_events if event.is_step_failure]
    assert failed == "rollout"  # it was begun, and nothing listens at the endpoint


def test_the_archive_names_the_environment_that_was_built_after_the_run_had_begun(
    site: Site, instance: dg.DagsterInstance
) -> None:
    with PlatformResource().opened() as platform:
        job = assign_batch(platform, MAIN_CAMPAIGN, "d", asked_by=AskedBy.START, limit=1).job
        assert job is not None
        with archived(platform, job=job.name, owner="run") as entry:
            site.has_built(HARBOR, "3.13.3")
            entry.runs_in({short: (site.root.env / name).resolve() for short, name in JOB_ENVIRONMENTS.items()})
            site.has_built(HARBOR, "3.13.2")  # for others
            platform.ledger.withdraw(job.name, note="enough seen")
    (row,) = read_runs(site.root).rows
    made = read_metadata(site.root.path / row.archive).environments
    assert {name: each.python for name, each in made.items()} == {"harbor": "3.13.3", "litellm": "3.13.2"}
    litellm = JOB_ENVIRONMENTS["litellm"]
    assert (made["litellm"].digest, made["litellm"].inputs) == (site.digest(litellm), inputs_of(litellm))


def test_a_job_whose_environment_cannot_be_built_is_refused_and_its_tasks_are_free(
    site: Site, instance: dg.DagsterInstance
) -> None:
    shutil.rmtree(site.root.env / "store")
    with PlatformResource().opened() as platform:
        job = assign_batch(platform, MAIN_CAMPAIGN, "d", asked_by=AskedBy.START, limit=1).job
        assert job is not None
        with pytest.raises(EnvironmentBuildError, match=r"Mend: check the network"):
            run_job(platform, job.name, owner="run", listener=SilentListener())
        counts = platform.ledger.check_balance()
        assert (counts.pending, counts.running, counts.assigned) == (1, 0, 0)
        assert platform.ledger.job(job.name).state is JobState.REFUSED
        assert platform.ledger.breaker_state("d").state is BreakerState.OPEN
    assert [row.status for row in read_runs(site.root).rows] == ["refused"]
    assert [path.name for path in (site.root.env / "store").iterdir() if path.is_dir()] == []
