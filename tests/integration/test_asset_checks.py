"""Each check of the catalogue holds of a job in order, and fails for what it is there to find."""

import dagster as dg
import pytest
import sqlalchemy as sa

from tests.integration.site import DATASET, JOB, TASK_IDS, Site, site
from tests.unit.ledger.twins import key
from trajgen_assets.assets.checks.host import DISK, LEDGER, MANIFEST, STAGED, host_checks
from trajgen_assets.assets.checks.jobs import JOB_CHECKS
from trajgen_assets.core.intake.digest import task_digest
from trajgen_assets.core.ledger import open_ledger
from trajgen_assets.core.ledger.models import ListedTask, ManifestSeen
from trajgen_assets.definitions import defs
from trajgen_assets.names import JOB_RESULT, PREPARED_TASKS, VERIFIED_TASKS

__all__ = ["site"]

ERROR, WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN


def test_all_hold_of_a_job_in_order_and_beside_its_result_are_made_those_of_the_job_the_ledger_and_the_disk(
    site: Site,
) -> None:
    found = site.sum_up()
    assert {name for name, each in found.items() if each.passed} == {*(each.name for each in JOB_CHECKS), LEDGER, DISK}
    assert site.has_data()
    assert site.execute(VERIFIED_TASKS, MANIFEST).passed
    assert site.execute(PREPARED_TASKS, STAGED).passed


def test_what_is_found_of_a_job_is_of_its_partition_and_of_the_event_that_stands(site: Site) -> None:
    site.sum_up()
    (event,) = site.instance.fetch_materializations(JOB_RESULT, limit=1).records
    for check in JOB_CHECKS:
        (record,) = site.instance.event_log_storage.get_asset_check_execution_history(check.key, limit=10)
        assert record.partition == JOB
        assert record.evaluation is not None
        target = record.evaluation.target_materialization_data
        assert target is not None
        assert target.storage_id == event.storage_id


def test_a_listed_task_without_a_folder_is_a_warning_and_a_manifest_that_is_gone_a_failure(site: Site) -> None:
    manifest = site.source / "verifiable_tasks.txt"
    with manifest.open("a") as file:
        file.write("not-there\n")
    found = site.execute(VERIFIED_TASKS, MANIFEST)
    assert (found.passed, found.severity) == (False, WARN)
    assert "1 listed without a folder: not-there" in (found.description or "")
    manifest.unlink()
    found = site.execute(VERIFIED_TASKS, MANIFEST)
    assert (found.passed, found.severity) == (False, ERROR)


@pytest.mark.parametrize("kind", ["changed", "gone"])
def test_a_staged_task_that_was_rolled_out_and_is_no_longer_what_it_was_is_a_failure(site: Site, kind: str) -> None:
    folder = site.root.tasks / DATASET / "b"
    if kind == "changed":
        (folder / "tests" / "test.sh").write_text("exit 1\n")
    else:
        folder.rename(folder.with_name(".b"))
    found = site.execute(PREPARED_TASKS, STAGED)
    assert (found.passed, found.severity) == (False, ERROR)
    assert "1 staged task is not what was rolled out" in (found.description or "")
    assert (found.description or "").endswith(": b")


def test_a_pending_task_that_was_registered_anew_is_no_more_than_a_warning(site: Site) -> None:
    (site.source / "a" / "instruction.md").write_text("Another.\n")
    with open_ledger(site.root) as ledger:
        listed = [ListedTask(each, task_digest(site.source / each), eligible=True) for each in TASK_IDS]
        ledger.register("main", DATASET, listed, ManifestSeen("m", "sha", len(listed)))
        ledger.reset(key("a"), force=True)
        assert ledger.task(key("a")).digest == listed[0].digest
    found = site.execute(PREPARED_TASKS, STAGED)
    assert (found.passed, found.severity) == (False, WARN)


def test_a_ledger_that_does_not_add_up_is_a_failure(site: Site) -> None:
    engine = sa.create_engine(f"sqlite:///{site.root.ledger}")
    with engine.begin() as conn:
        conn.exec_driver_sql("UPDATE tasks SET n_attempts = 7 WHERE task_id = 'a'")
    engine.dispose()
    found = site.sum_up()[LEDGER]
    assert (found.passed, found.severity) == (False, ERROR)
    assert "tasks with uncounted attempts: 1" in (found.description or "")


def test_a_disk_below_the_mark_is_a_failure(site: Site) -> None:
    site.configure(harbor_job={"min_free_gb": 1e9})
    found = site.sum_up()[DISK]
    assert (found.passed, found.severity) == (False, ERROR)
    assert "fewer than harbor_job.min_free_gb" in (found.description or "")


def lost(site: Site, n: int, cause: str = "sandbox", **more: str) -> None:
    """Trials of the job that gave no result."""
    for number in range(n):
        ended = {"accepted": False, "status": "failed", "cause": cause, "reward": None, **more}
        site.on_disk.add(f"lost-{number}__1", None, task_id=f"lost-{number}", task_key=f"py-cc/lost-{number}", **ended)


def test_of_a_job_without_a_valid_result_no_data_is_made(site: Site) -> None:
    site.on_disk.entries.clear()
    lost(site, 2)
    found = site.sum_up()["has_valid_result"]
    assert (found.passed, found.severity, found.blocking) == (False, ERROR, True)
    assert found.description == "0 of 2 trials gave a valid result"
    assert not site.has_data()


@pytest.mark.parametrize(("n_lost", "severity"), [(1, WARN), (3, ERROR)])
def test_many_trials_without_a_result_are_said_with_their_causes_and_stop_no_data(
    site: Site, n_lost: int, severity: dg.AssetCheckSeverity
) -> None:
    lost(site, n_lost, "model_provider")
    found = site.sum_up()["error_share"]
    assert (found.passed, found.severity) == (False, severity)
    assert found.metadata["error_share"].value == pytest.approx(n_lost / (n_lost + 2), abs=1e-4)
    assert (found.description or "").endswith(": model_provider")
    assert site.has_data()


def test_what_a_person_cancelled_counts_for_no_error(site: Site) -> None:
    lost(site, 9, "cancelled")
    assert site.sum_up()["error_share"].passed


@pytest.mark.parametrize("kind", ["changed", "missing"])
def test_of_a_job_whose_record_is_not_what_was_recorded_no_data_is_made(site: Site, kind: str) -> None:
    record = site.root.job(JOB).trajectory("b__1")
    if kind == "changed":
        record.write_bytes(record.read_bytes() + b"{}\n")
    else:
        record.unlink()
    found = site.sum_up()["capture_complete"]
    assert (found.passed, found.severity, found.blocking) == (False, ERROR, True)
    assert f"b__1 ({kind})" in (found.description or "")
    assert not site.has_data()


def test_a_trial_that_was_lost_to_a_gap_is_a_warning(site: Site) -> None:
    lost(site, 1, "capture", capture="gap")
    found = site.sum_up()["capture_complete"]
    assert (found.passed, found.severity) == (False, WARN)
    assert found.metadata["gaps"].value == ["lost-0__1"]
    assert site.has_data()


def test_every_check_of_the_catalogue_says_what_it_looks_at() -> None:
    graph = defs().get_repository_def().asset_graph
    ours = {spec.key for each in host_checks() for spec in each.check_specs} | {each.key for each in JOB_CHECKS}
    assert ours <= graph.asset_check_keys
    for check in graph.asset_check_keys:
        assert graph.get_check_spec(check).description
