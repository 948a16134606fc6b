import os
from datetime import timedelta
from pathlib import Path

import psutil

from tests.unit.ledger.twins import SetClock, graded, key, register, settle, start
from tests.unit.report.test_found_jobs import RESOLVE, earlier, ours, trajectory
from trajgen_assets.core.capture.stored import compress, compressed_name, content_sha256
from trajgen_assets.core.ledger import Ledger, PublishedView
from trajgen_assets.core.ledger.importing import import_found
from trajgen_assets.core.ledger.models import JobState
from trajgen_assets.core.paths import Root
from trajgen_assets.core.process import ProcessId, record_processes
from trajgen_assets.core.report.differences import Difference, Kind, differences_on_disk, unknown_trials
from trajgen_assets.core.rollout.slots import job_slot


def compare(root: Root, ledger: Ledger, *, digests: bool = True) -> list[Difference]:
    return list(differences_on_disk(root, ledger, RESOLVE, digests=digests))


def kinds(root: Root, ledger: Ledger) -> list[Kind]:
    return [each.kind for each in compare(root, ledger)]


def rolled_out(root: Root, ledger: Ledger, job: str = "j") -> Path:
    """Task `a`, done in a job, with all that belongs to it on disk."""
    register(ledger, "a", "b")
    entry = ours(root, job)
    lease = start(ledger, job, "run-1", "a")
    path = root.job(job).trajectory("a__1")
    outcome = graded("a__1", trajectory_path=str(path.relative_to(root.path)), trajectory_sha256=content_sha256(path))
    assert entry.accepted
    settle(ledger, lease, "a", outcome)
    ledger.release(lease, JobState.FINISHED)
    return path


def test_where_all_is_well_there_is_no_difference(root: Root, ledger: Ledger) -> None:
    rolled_out(root, ledger)
    PublishedView(ledger, root).refresh()
    assert compare(root, ledger) == []


def test_a_result_without_its_trajectory_is_named(root: Root, ledger: Ledger) -> None:
    rolled_out(root, ledger).unlink()
    (found,) = compare(root, ledger)
    assert (found.kind, found.subject, found.is_fixable) == (Kind.MISSING_TRAJECTORY, "py-cc/a", False)
    assert "`trajgen ledger reset --force py-cc/a`" in found.mend


def test_a_trajectory_that_changed_is_named_unless_nobody_wants_to_read_them(root: Root, ledger: Ledger) -> None:
    with rolled_out(root, ledger).open("a") as file:
        file.write("{}\n")
    assert kinds(root, ledger) == [Kind.CHANGED_TRAJECTORY]
    assert compare(root, ledger, digests=False) == []


def test_an_accepted_trial_that_the_ledger_does_not_know_is_named_and_can_be_taken_over(
    root: Root, ledger: Ledger
) -> None:
    register(ledger, "a", "b")
    ours(root, "j")
    earlier(root, "old", "b")
    found = compare(root, ledger)
    assert [(each.kind, each.subject, each.is_fixable) for each in found] == [
        (Kind.UNKNOWN_TRIAL, "old/b__abc1234", True),
        (Kind.UNKNOWN_TRIAL, "j/a__1", True),
    ]
    assert "its task would be done" in found[0].means
    assert ledger.counts().done == 0
    import_found(ledger, [], unknown_trials(root, ledger, RESOLVE).jobs)
    assert compare(root, ledger) == []
    assert ledger.check_balance().done == 2


def test_a_trial_of_a_job_that_runs_is_no_difference(root: Root, ledger: Ledger) -> None:
    register(ledger, "a")
    ours(root, "j")
    start(ledger, "j")
    with job_slot(root.locks, 1, holder="j"):
        assert compare(root, ledger) == []


def test_a_job_that_nobody_drives_is_named(root: Root, ledger: Ledger, clock: SetClock) -> None:
    register(ledger, "a")
    start(ledger, "j", ttl_s=60)
    assert kinds(root, ledger) == [Kind.LOST_JOB]
    with job_slot(root.locks, 1, holder="j"):
        assert compare(root, ledger) == []
        clock.at += timedelta(seconds=61)
        assert kinds(root, ledger) == [Kind.LOST_JOB]


def test_what_a_dead_job_left_is_named(root: Root, ledger: Ledger) -> None:
    files = root.job("j")
    files.proxy.mkdir(parents=True)
    record_processes(files.processes, {"harbor": ProcessId.of(os.getpid()), "proxy": _dead()})
    (root.sandboxes / "k" / "trial").mkdir(parents=True)
    (root.sandboxes / "tidy").mkdir()
    found = {each.subject: each for each in compare(root, ledger)}
    assert set(found) == {"j", "k"}
    assert "processes running (harbor)" in found["j"].means
    assert "sandboxes" in found["k"].means
    assert found["j"].is_fixable
    with job_slot(root.locks, 1, holder="j"):
        assert [each.subject for each in compare(root, ledger)] == ["k"]


def _dead() -> ProcessId:
    return ProcessId(os.getpid(), psutil.Process().create_time() - 1000)


def test_a_view_that_was_changed_by_hand_is_named(root: Root, ledger: Ledger) -> None:
    register(ledger, "a")
    PublishedView(ledger, root).refresh()
    root.ledger_view.write_text(root.ledger_view.read_text().replace("pending", "skipped"))
    (found,) = compare(root, ledger)
    assert (found.kind, found.is_fixable) == (Kind.EDITED_VIEW, False)
    assert "`trajgen ledger import`" in found.mend


def test_a_ledger_that_does_not_balance_is_named_and_never_mended(root: Root, ledger: Ledger) -> None:
    rolled_out(root, ledger)
    with ledger.store.write() as conn:
        conn.exec_driver_sql("UPDATE tasks SET n_attempts = 7 WHERE task_id = 'a'")
    (found,) = compare(root, ledger)
    assert (found.kind, found.is_fixable) == (Kind.BALANCE, False)
    assert "uncounted attempts" in found.means


def test_a_job_folder_that_cannot_be_read_is_named(root: Root, ledger: Ledger) -> None:
    (root.jobs / "bad").mkdir(parents=True)
    root.job("bad").trials.write_text("{")
    assert kinds(root, ledger) == [Kind.UNREADABLE]


def test_an_imported_result_without_a_path_is_no_difference(root: Root, ledger: Ledger) -> None:
    trajectory(root, "note", "x")
    with ledger.store.write() as conn:
        conn.exec_driver_sql(
            "INSERT INTO tasks (campaign, dataset, task_id, status, listed, eligible, imported, registered_at, "
            "updated_at) VALUES ('main', 'py-cc', 'z', 'done', 0, 0, 1, '2026-01-01T00:00:00+00:00', '2026')"
        )
    assert key("z").partition == "py-cc/z"
    assert compare(root, ledger) == []


def test_a_compressed_trajectory_is_the_one_that_was_recorded(root: Root, ledger: Ledger) -> None:
    path = rolled_out(root, ledger)
    compress(path)
    PublishedView(ledger, root).refresh()
    assert compare(root, ledger) == []
    compressed_name(path).write_bytes(b"x")
    assert kinds(root, ledger) == [Kind.CHANGED_TRAJECTORY]
    compressed_name(path).unlink()
    assert kinds(root, ledger) == [Kind.MISSING_TRAJECTORY]
