"""Dagster's runs go when nothing that it shows rests on them, as a real instance shows it before and after."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value
from typer.testing import CliRunner, Result

from resources.old_runs import JOB_TAG, find_old_runs
from tests.integration.finished_job import ALL, JOB, Host, finished_host
from trajgen_assets.cli.main import app
from trajgen_assets.core.errors import BusyError, ConfigError
from trajgen_assets.core.exit_codes import EXIT_OK
from trajgen_assets.core.rollout.slots import job_slot
from trajgen_assets.names import JOB_RESULT, JOBS, SFT_IM

NOW = timedelta(0)
PARTS = dg.DynamicPartitionsDefinition(name="parts")
MADE, WHOLE = dg.AssetKey("made"), dg.AssetKey("whole")


class Trouble(dg.Config):
    fails: bool = False


@dg.asset(partitions_def=PARTS)
def made(config: Trouble) -> None:
    if config.fails:
        raise RuntimeError("no")


@dg.asset
def whole() -> None: ...


@dg.asset_check(asset=whole)
def looks_well() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    with finished_host(tmp_path, monkeypatch) as opened:
        opened.instance.add_dynamic_partitions("parts", ["k1", "k2"])
        yield opened


def run(host: Host, partition: str | None, *, fails: bool = False, **tags: str) -> str:
    """Materialize the partition, or what has none; returns the run."""
    assets = [whole, looks_well] if partition is None else [made]
    config = {"ops": {"made": {"config": {"fails": True}}}} if fails else None
    done = dg.materialize(
        assets, instance=host.instance, partition_key=partition, run_config=config, raise_on_error=False, tags=tags
    )
    return done.run_id


def statuses(host: Host) -> tuple[object, ...]:
    """Which partitions the web UI shows as made and as failed, worked out anew; and what the check says."""
    host.instance.event_log_storage.wipe_asset_cached_status(MADE)
    cached = get_and_update_asset_status_cache_value(host.instance, MADE, PARTS)
    assert cached is not None
    check = dg.AssetCheckKey(WHOLE, "looks_well")
    latest = host.instance.event_log_storage.get_latest_asset_check_execution_by_key([check])
    return (
        sorted(cached.deserialize_materialized_partition_subsets(PARTS).get_partition_keys()),
        sorted(cached.deserialize_failed_partition_subsets(PARTS).get_partition_keys()),
        [each.status for each in latest.values()],
        host.instance.event_log_storage.get_materialized_partitions(JOB_RESULT),
    )


def gc(host: Host, *options: str) -> Result:
    return CliRunner().invoke(app, ["--root", str(host.root.path), "gc", "--runs", *options])


def test_a_run_goes_when_all_that_it_made_was_made_anew_and_no_status_changes(host: Host) -> None:
    first, newest_of_k2, failed = run(host, "k1"), run(host, "k2"), run(host, "k1", fails=True)
    newest_of_k1, still_failed = run(host, "k1"), run(host, "k2", fails=True)
    old_whole, newest_whole = run(host, None), run(host, None)
    before = statuses(host)
    assert before[:2] == (["k1", "k2"], ["k2"])
    files = host.root.dagster_home / "history" / "runs"
    assert (files / f"{first}.db").exists()

    told = gc(host, "--dry-run")
    assert told.output.endswith("3 runs would be deleted\n"), told.output
    assert host.instance.has_run(first)
    assert gc(host, "--yes").exit_code == EXIT_OK

    gone, stay = {first, failed, old_whole}, {newest_of_k1, newest_of_k2, still_failed, newest_whole}
    assert {each.run_id for each in host.instance.get_runs()} == stay
    assert statuses(host) == before
    assert not any(path.name.startswith(tuple(gone)) for path in files.iterdir())  # and its room is given back
    assert gc(host, "--yes").output.endswith("0 runs deleted\n")


def test_the_run_of_a_job_stays_while_it_is_the_newest_of_any_part(host: Host) -> None:
    host.instance.add_dynamic_partitions(JOBS, [JOB])
    assert host.materialize(ALL).success
    config = host.root.path / "config.yaml"
    config.write_text(config.read_text().replace("instance_status: all", "instance_status: resolved"))
    assert host.materialize([SFT_IM]).success
    assert gc(host, "--yes").output.endswith("0 runs deleted\n")
    assert host.instance.event_log_storage.get_materialized_partitions(JOB_RESULT) == {JOB}


def test_a_young_run_and_one_of_a_job_that_is_not_over_stay(host: Host) -> None:
    first = run(host, "k1", **{JOB_TAG: "j"})
    run(host, "k1")
    young = find_old_runs(host.instance, older_than=timedelta(days=1), is_open=lambda _: False)
    assert (young.going, young.kept) == ([], {})
    waiting = find_old_runs(host.instance, older_than=NOW, is_open=lambda job: job == "j")
    assert (waiting.going, waiting.kept["of a job that is not over"]) == ([], 1)
    assert find_old_runs(host.instance, older_than=NOW, is_open=lambda _: False).going == [first]


def test_ticks_are_purged_by_the_daemon_after_a_time(host: Host) -> None:
    kept = host.instance.get_tick_retention_settings(InstigatorType.SENSOR)
    assert {status.value: days for status, days in kept.items() if days > 0} == {
        "SKIPPED": 7, "SUCCESS": 90, "FAILURE": 90,
    }  # fmt: skip


def test_nothing_of_it_is_done_while_a_job_runs_or_when_nobody_can_be_asked(host: Host) -> None:
    run(host, "k1")
    run(host, "k1")
    assert isinstance(gc(host).exception, ConfigError)
    with job_slot(host.root.locks, 1, holder="j"):
        for part in ("--runs", "--images", "--jobs"):
            refused = CliRunner().invoke(app, ["--root", str(host.root.path), "gc", part, "--yes"])
            assert isinstance(refused.exception, BusyError), part
    assert len(host.instance.get_runs()) == 2
