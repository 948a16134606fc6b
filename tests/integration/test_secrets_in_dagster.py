"""Whatever throws, and however it quotes a secret: Dagster stores what happened, and no secret."""

import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.test_utils import create_test_daemon_workspace_context
from dagster._core.workspace.load_target import ModuleTarget
from dagster._daemon import get_default_daemon_logger
from dagster._daemon.sensor import execute_sensor_iteration
from dagster._daemon.types import DaemonHeartbeat
from dagster._time import get_current_datetime
from dagster._utils.error import serializable_error_info_from_exc_info

from resources.instance import dagster_environ, open_instance, prepare_instance
from resources.platform import PlatformResource
from resources.storage import without_secrets
from tests.canaries import FIELDS, all_spellings, found_in, plant, spellings_of
from tests.integration import leaking_definitions as leaking
from trajgen_assets.core.ledger.store import create_ledger
from trajgen_assets.core.paths import PROJECT, Root

TASKS = PROJECT / "examples" / "swe_tasks" / "py-cc"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Root]:
    folder = tmp_path_factory.mktemp("planted")
    root = Root(folder / "root")
    config = plant(folder / "block", base_url="http://127.0.0.1:9/v1", tasks=TASKS)
    with pytest.MonkeyPatch.context() as environ:
        for name, value in dagster_environ(root, config).items():
            environ.setenv(name, value)
        prepare_instance(root, max_jobs=1)
        create_ledger(root)
        yield root


@pytest.fixture
def instance(root: Root) -> Iterator[dg.DagsterInstance]:
    with open_instance(root) as opened:
        yield opened


def texts_of(instance: dg.DagsterInstance, run_id: str) -> str:
    return "\n".join(str(entry) for entry in instance.all_logs(run_id))


def test_a_run_that_throws_quotes_and_logs_secrets_leaves_none(root: Root, instance: dg.DagsterInstance) -> None:
    throwing = leaking.throwing_job.execute_in_process(instance=instance, raise_on_error=False)
    unready = leaking.resource_job.execute_in_process(instance=instance, raise_on_error=False)
    assets = dg.materialize([leaking.quoting_asset, leaking.throwing_check], instance=instance, raise_on_error=False)
    assert not any(result.success for result in (throwing, unready, assets))
    told = texts_of(instance, throwing.run_id)
    for said in ("while handling", "upstream said", "KeyError", "UpstreamError", "HookErroredData", "<redacted:"):
        assert said in told
    assert "while handling" in texts_of(instance, unready.run_id)
    assert instance.get_latest_materialization_event(dg.AssetKey("quoting_asset"))
    assert found_in(root.path) == []


def test_a_tick_that_throws_or_skips_with_a_secret_leaves_none(
    root: Root, instance: dg.DagsterInstance, capfd: pytest.CaptureFixture[str]
) -> None:
    target = ModuleTarget(leaking.__name__, None, working_directory=str(PROJECT), location_name="leaking")
    with create_test_daemon_workspace_context(target, instance) as workspace:
        logger = get_default_daemon_logger("SensorDaemon")
        list(execute_sensor_iteration(workspace, logger, threadpool_executor=None, submit_threadpool_executor=None))
        ticks = [
            tick
            for state in instance.all_instigator_state()
            for tick in instance.get_ticks(state.instigator_origin_id, state.selector_id)
        ]
    assert sorted(tick.status.value for tick in ticks) == ["FAILURE", "FAILURE", "SKIPPED"]
    assert all("<redacted:" in str(tick.tick_data.error or tick.tick_data.skip_reason) for tick in ticks)
    assert list((root.dagster_home / "tick_logs").rglob("*.err"))
    assert found_in(root.path) == []
    capfd.readouterr()


def test_a_daemon_that_broke_says_so_without_a_secret(root: Root, instance: dg.DagsterInstance) -> None:
    try:
        leaking.throw_with_a_cause()
    except ValueError:
        error = serializable_error_info_from_exc_info(sys.exc_info())
    beat = DaemonHeartbeat(get_current_datetime().timestamp(), "SENSOR", "a-daemon", [error])
    instance.add_daemon_heartbeat(beat)
    (stored,) = instance.get_daemon_heartbeats().values()
    assert "while handling" in str(stored.errors)
    assert found_in(root.path) == []


@pytest.mark.parametrize("value", FIELDS.values(), ids=FIELDS)
def test_one_spelling_of_one_secret_is_enough(root: Root, value: str) -> None:
    for spelling in spellings_of(value):
        clean = without_secrets(dg.TextMetadataValue(f"said {spelling} and more"))
        assert "<redacted:" in (clean.text or "")


def test_a_record_loses_secrets_in_labels_and_names_too_and_keeps_what_it_is_found_by(root: Root) -> None:
    key = FIELDS["runtime_info.input.litellm_proxy.master_key"]
    data = {key: {"tags": [key], "cursor": key}}
    event = dg.AssetObservation(f"of {key}", metadata={f"from {key}": 1, "said": dg.MetadataValue.json(data)})
    clean = without_secrets(event)
    assert clean.asset_key == event.asset_key
    assert key not in str(clean.metadata)
    assert set(clean.metadata) == {"from <redacted:runtime_info.input.litellm_proxy.master_key>", "said"}


def test_a_record_without_secrets_is_stored_as_it_is(root: Root) -> None:
    beat = DaemonHeartbeat(1.5, "SENSOR", "a-daemon", [])
    assert without_secrets(beat) is beat


def test_what_leaves_the_platform_as_an_exception_holds_no_secret(root: Root) -> None:
    with pytest.raises(ValueError, match="while handling") as caught, PlatformResource().opened():
        leaking.throw_with_a_cause()
    told = "".join(str(each) + str(vars(each)) for each in _chain(caught.value))
    assert "upstream said" in told
    assert [name for name, value in FIELDS.items() if value in told] == []


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def test_the_search_finds_each_spelling_so_that_finding_nothing_means_something(tmp_path: Path) -> None:
    (tmp_path / "leak").write_text(all_spellings())
    assert found_in(tmp_path) == [f"{name} in leak" for name in FIELDS]
