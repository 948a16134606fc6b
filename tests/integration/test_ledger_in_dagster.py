"""Ledger and Dagster held against each other, on a real instance."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from tests.unit.ledger.twins import graded, key, register, settle, start
from tests.unit.report.test_found_jobs import ours
from trajgen_assets.cli.ledger.in_dagster import (
    add_missing_partitions,
    differences_in_dagster,
    jobs_without_data,
    report_missing_events,
)
from trajgen_assets.core.ledger import Ledger, create_ledger, open_ledger
from trajgen_assets.core.ledger.models import JobState
from trajgen_assets.core.paths import Root
from trajgen_assets.core.report.differences import Kind
from trajgen_assets.names import JOB_RESULT, TASKS, TRAJECTORIES
from trajgen_assets.partitions import show_new_partitions


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root(tmp_path)


@pytest.fixture
def ledger(root: Root) -> Iterator[Ledger]:
    create_ledger(root)
    with open_ledger(root) as opened:
        yield opened


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def found(instance: dg.DagsterInstance, root: Root, ledger: Ledger) -> list[tuple[Kind, str]]:
    return [(each.kind, each.subject) for each in differences_in_dagster(instance, root, ledger)]


def event(instance: dg.DagsterInstance, asset: dg.AssetKey, partition: str) -> None:
    instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition=partition))


def roll_out(root: Root, ledger: Ledger, *, release: bool = True) -> None:
    register(ledger, "a", "b")
    ours(root, "j", n_input_tokens=5)
    lease = start(ledger, "j", "run-1", "a")
    settle(ledger, lease, "a", graded("a__1", trajectory_path="jobs/j/a__1/agent/litellm-trajectory.jsonl"))
    if release:
        ledger.release(lease, JobState.FINISHED)


def test_a_lost_instance_is_brought_in_line_with_the_ledger(
    instance: dg.DagsterInstance, root: Root, ledger: Ledger
) -> None:
    roll_out(root, ledger)
    show_new_partitions(dg.DagsterInstance.ephemeral(), ledger)  # the instance that was lost
    assert found(instance, root, ledger) == [
        (Kind.NO_EVENT, "py-cc/a"),
        (Kind.NO_PARTITION, "py-cc/a"),
        (Kind.NO_PARTITION, "py-cc/b"),
        (Kind.NO_DATA, "j"),
    ]
    add_missing_partitions(instance, ledger)
    report_missing_events(instance, root, ledger)
    assert found(instance, root, ledger) == [(Kind.NO_DATA, "j")]
    assert set(instance.get_dynamic_partitions(TASKS)) == {"py-cc/a", "py-cc/b"}
    record = instance.get_latest_materialization_event(TRAJECTORIES)
    assert record is not None
    assert record.asset_materialization is not None
    metadata = {name: value.value for name, value in record.asset_materialization.metadata.items()}
    assert (metadata["reward"], metadata["tokens"], metadata["trial"]) == (1.0, 5, "j/a__1")
    report_missing_events(instance, root, ledger)
    assert len(instance.fetch_materializations(TRAJECTORIES, limit=10).records) == 1


def test_data_that_was_made_and_is_shown_is_no_difference(
    instance: dg.DagsterInstance, root: Root, ledger: Ledger
) -> None:
    roll_out(root, ledger)
    ledger.record_downstream("j", ledger.job("j").accepted_digest or "")
    assert [job.name for job in jobs_without_data(instance, root, ledger)] == ["j"]
    event(instance, JOB_RESULT, "j")
    assert jobs_without_data(instance, root, ledger) == []


def test_a_job_that_runs_is_about_to_say_so_itself(instance: dg.DagsterInstance, root: Root, ledger: Ledger) -> None:
    roll_out(root, ledger, release=False)
    show_new_partitions(instance, ledger)
    assert found(instance, root, ledger) == []
    report_missing_events(instance, root, ledger)
    assert instance.get_latest_materialization_event(TRAJECTORIES) is None


def test_an_event_that_the_ledger_knows_nothing_of_is_named(
    instance: dg.DagsterInstance, root: Root, ledger: Ledger
) -> None:
    roll_out(root, ledger)
    show_new_partitions(instance, ledger)
    event(instance, JOB_RESULT, "j")
    ledger.record_downstream("j", ledger.job("j").accepted_digest or "")
    for partition in ("py-cc/a", "py-cc/b", "py-cc/unknown", "no key"):
        event(instance, TRAJECTORIES, partition)
    assert found(instance, root, ledger) == [
        (Kind.UNFOUNDED_EVENT, "no key"),
        (Kind.UNFOUNDED_EVENT, "py-cc/b"),
        (Kind.UNFOUNDED_EVENT, "py-cc/unknown"),
    ]
    ledger.reset(key("a"), force=True)  # a result that a person took back stays shown until there is another
    ledger.record_downstream("j", ledger.job("j").accepted_digest or "")
    assert (Kind.UNFOUNDED_EVENT, "py-cc/a") not in found(instance, root, ledger)


def test_an_imported_result_without_a_job_is_reported_with_what_is_known(
    instance: dg.DagsterInstance, root: Root, ledger: Ledger
) -> None:
    with ledger.store.write() as conn:
        conn.exec_driver_sql(
            "INSERT INTO tasks (campaign, dataset, task_id, status, listed, eligible, imported, reward, registered_at, "
            "updated_at) VALUES ('main', 'py-cc', 'z', 'done', 0, 0, 1, 0.5, "
            "'2026-01-01T00:00:00+00:00', '2026-01-01T00:00:00+00:00')"
        )
    report_missing_events(instance, root, ledger)
    record = instance.get_latest_materialization_event(TRAJECTORIES)
    assert record is not None
    assert record.asset_materialization is not None
    assert record.asset_materialization.metadata["reward"].value == 0.5
