"""The preflight as a check in Dagster: on demand, and beside a click, whatever becomes of the tasks."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import psutil
import pytest

from resources.instance import open_instance, prepare_instance
from resources.platform import PlatformResource
from tests.unit.preflight.twins import KEY, root_at, write_config, write_tasks
from trajgen_assets.assets.checks.host import PREFLIGHT
from trajgen_assets.core.errors import EnvironmentBuildError, TrajgenError
from trajgen_assets.core.intake.registration import register_source
from trajgen_assets.core.keys import MAIN_CAMPAIGN
from trajgen_assets.core.ledger.models import AskedBy, BreakerState, JobState
from trajgen_assets.core.ledger.store import create_ledger
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.rollout.batch import assign_batch
from trajgen_assets.core.rollout.job import run_job
from trajgen_assets.core.rollout.pausing import why_none_begins
from trajgen_assets.core.rollout.record import SilentListener
from trajgen_assets.definitions import defs
from trajgen_assets.names import PREPARED_TASKS, ROLLOUT_JOB, TRAJECTORIES
from trajgen_assets.partitions import show_new_partitions

CHECK = dg.AssetCheckKey(TRAJECTORIES, PREFLIGHT)
ASSET_JOB = "__ASSET_JOB"


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    root = root_at(tmp_path / "root")
    config = write_config(tmp_path / "config.yaml", source=write_tasks(tmp_path / "d", "t-1"))  # nothing listens
    monkeypatch.setenv("TRAJGEN_ROOT", str(root.path))
    monkeypatch.setenv("TRAJGEN_CONFIG", str(config))
    monkeypatch.setenv("TRAJGEN_ENV_DIR", str(root.env))
    create_ledger(root)
    prepare_instance(root, max_jobs=1)
    with PlatformResource().opened() as platform, open_instance(root) as opened:
        register_source(platform.ledger, platform.config.source("d"), MAIN_CAMPAIGN)
        show_new_partitions(opened, platform.ledger)
        yield opened


def evaluation(result: dg.ExecuteInProcessResult) -> dg.AssetCheckEvaluation:
    """What the preflight came to."""
    data = [each.event_specific_data for each in result.all_events]
    (found,) = [each for each in data if isinstance(each, dg.AssetCheckEvaluation) and each.asset_check_key == CHECK]
    return found


def test_it_can_be_made_alone_and_shows_each_line(instance: dg.DagsterInstance) -> None:
    job = defs().get_repository_def().get_job(ASSET_JOB)
    alone = job.get_subset(asset_selection=set(), asset_check_selection={CHECK})
    found = evaluation(alone.execute_in_process(instance=instance))
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert "out of reach" in (found.description or "")
    table = found.metadata["checks"]
    assert isinstance(table, dg.TableMetadataValue)
    levels = {record.data["check"]: record.data["level"] for record in table.records}
    assert (levels["connection"], levels["ledger"]) == ("fail", "ok")
    assert "completion" not in levels


def test_beside_a_click_that_fails_it_is_made_all_the_same(instance: dg.DagsterInstance) -> None:
    job = defs().get_repository_def().get_job(ASSET_JOB)
    click = job.get_subset(asset_selection={PREPARED_TASKS, TRAJECTORIES}, asset_check_selection=None)
    result = click.execute_in_process(instance=instance, partition_key="d/t-1", raise_on_error=False)
    assert not result.success
    assert not evaluation(result).passed


def test_a_run_that_a_sensor_asks_for_has_no_step_of_it() -> None:
    job = defs().resolve_job_def(ROLLOUT_JOB)
    assert [node.name for node in job.graph.nodes] == ["rollout"]


def test_a_job_that_it_refuses_is_withdrawn_and_pauses_its_data_set(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = tmp_path / "env"
    (env / "litellm-venv" / "bin").mkdir(parents=True)
    (env / "harbor-uv").symlink_to(root_at(tmp_path).env / "harbor-uv")
    monkeypatch.setenv("TRAJGEN_ENV_DIR", str(env))
    with PlatformResource().opened() as platform:
        job = assign_batch(platform, MAIN_CAMPAIGN, "d", asked_by=AskedBy.START, limit=1).job
        assert job is not None
        with pytest.raises(EnvironmentBuildError, match="a folder stands where the link"):
            run_job(platform, job.name, owner="run", listener=SilentListener())
        counts = platform.ledger.check_balance()
        assert (counts.pending, counts.running, counts.assigned) == (1, 0, 0)
        assert platform.ledger.job(job.name).state is JobState.REFUSED
        breaker = platform.ledger.breaker_state("d")
        assert (breaker.state, breaker.cause) == (BreakerState.OPEN, "harness")


def refused(platform: Platform, asked_by: AskedBy) -> BreakerState:
    """How the breaker stands after a job was refused."""
    job = assign_batch(platform, MAIN_CAMPAIGN, "d", asked_by=asked_by, limit=1).job
    assert job is not None
    with pytest.raises(TrajgenError):
        run_job(platform, job.name, owner="run", listener=SilentListener())
    assert platform.ledger.job(job.name).state is JobState.REFUSED
    return platform.ledger.breaker_state("d").state


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (KEY, "${TRAJGEN_NOT_SET}"),
        ("local}", "local}\n    sft_conversion: {enabled: true, exclude_repos_file: gone.txt}"),
    ],
)
def test_what_one_persons_shell_lacks_pauses_nobody_else(
    instance: dg.DagsterInstance, tmp_path: Path, old: str, new: str
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(config.read_text().replace(old, new))
    with PlatformResource().opened() as platform:
        assert refused(platform, AskedBy.START) is BreakerState.CLOSED
        assert refused(platform, AskedBy.SENSOR) is BreakerState.OPEN


def test_a_dead_endpoint_pauses_launches_whoever_finds_it(instance: dg.DagsterInstance) -> None:
    with PlatformResource().opened() as platform:
        assert refused(platform, AskedBy.START) is BreakerState.OPEN


@pytest.mark.parametrize("short_of", ["disk", "memory"])
def test_a_shortage_pauses_nothing_because_no_job_is_made_while_it_lasts(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short_of: str
) -> None:
    if short_of == "disk":
        config = tmp_path / "config.yaml"
        config.write_text(config.read_text().replace("environment: local}", "environment: local, min_free_gb: 1.0e+9}"))
    else:
        monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1 << 20))
    with PlatformResource().opened() as platform:
        assert refused(platform, AskedBy.SENSOR) is BreakerState.CLOSED
        assert short_of in (why_none_begins(platform, "d") or "").replace("are free", "disk")
