from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.unit.ledger.twins import SetClock, batch, graded, key, lost, register, settle, start
from trajgen_assets.core.ledger import AttemptKind, AttemptOutcome, Ledger, RetryPolicy, SkipKind, TaskStatus
from trajgen_assets.core.ledger.importing import FoundJob, FoundTask, FoundTrial, ImportResult, import_found

DONE, FAILED, SKIPPED, PENDING, RUNNING = (
    TaskStatus.DONE,
    TaskStatus.FAILED,
    TaskStatus.SKIPPED,
    TaskStatus.PENDING,
    TaskStatus.RUNNING,
)
BEGAN = SetClock().at


def entry(task_id: str, status: TaskStatus, **more: Any) -> FoundTask:
    return FoundTask(key(task_id), status, **more)


def trial(task_id: str, status: TaskStatus = DONE, name: str | None = None, **more: Any) -> FoundTrial:
    accepted = more.pop("accepted", status is DONE)
    name = name or f"{task_id}__1"
    found = graded(name, **more) if status is DONE else AttemptOutcome(name, AttemptKind.OUTSIDE, "sandbox")
    return FoundTrial(key(task_id), f"digest of {task_id}", found, status, accepted)


def job(name: str, *trials: FoundTrial, day: int = 0, is_ours: bool = True) -> FoundJob:
    at = BEGAN + timedelta(days=day)
    return FoundJob(name, "main", "py-cc", at, at + timedelta(hours=1), is_ours, trials)


def take(ledger: Ledger, *found: FoundTask | FoundJob, dry_run: bool = False) -> ImportResult:
    entries = [each for each in found if isinstance(each, FoundTask)]
    jobs = [each for each in found if isinstance(each, FoundJob)]
    return import_found(ledger, entries, jobs, dry_run=dry_run)


def statuses(ledger: Ledger) -> dict[str, str]:
    return {row.task_id: row.status.value for row in ledger.rows()}


def test_what_is_over_is_kept_as_such_and_shown_apart(ledger: Ledger) -> None:
    result = take(
        ledger,
        entry("a", DONE, reward=0.0, trajectory_path="jobs/j/a"),
        entry("b", FAILED, note="OOM"),
        entry("c", SKIPPED),
        entry("d", PENDING),
        entry("e", RUNNING),
    )
    assert statuses(ledger) == {"a": "done", "b": "failed", "c": "skipped"}
    assert (result.n_to_register, len(result.changed)) == (2, 3)
    counts = ledger.check_balance()
    assert (counts.imported, counts.unlisted) == (3, 3)
    register(ledger, "a", "b", "c", "d", "e")
    assert statuses(ledger) == {"a": "done", "b": "failed", "c": "skipped", "d": "pending", "e": "pending"}
    assert ledger.check_balance().unlisted == 0
    assert ledger.assign("job-1", batch()) is not None
    assert [row.task_id for row in ledger.tasks_of_job("job-1")] == ["d", "e"]


def test_importing_twice_changes_nothing(ledger: Ledger) -> None:
    found = [entry("a", DONE, reward=1.0), entry("b", SKIPPED), job("j", trial("a"), trial("c"), trial("d", FAILED))]
    take(ledger, *found)
    before = (ledger.rows(), ledger.jobs(), ledger.job_attempts("j"))
    again = take(ledger, *found)
    assert (again.changed, again.new_jobs, again.new_trials, again.left) == ([], [], [], {})
    assert (ledger.rows(), ledger.jobs(), ledger.job_attempts("j")) == before


def test_a_dry_run_tells_the_same_and_leaves_nothing(ledger: Ledger) -> None:
    found = [entry("a", DONE, reward=1.0), job("j", trial("c"))]
    told = take(ledger, *found, dry_run=True)
    assert (ledger.rows(), ledger.jobs()) == ([], [])
    assert take(ledger, *found) == told


def test_a_job_on_disk_is_rebuilt_with_its_attempts(ledger: Ledger) -> None:
    take(ledger, job("j", trial("a", reward=0.5), trial("b", FAILED), trial("c", PENDING)))
    assert statuses(ledger) == {"a": "done", "b": "failed", "c": "pending"}
    (row,) = ledger.jobs()
    assert (row.name, row.n_tasks, row.state.is_over) == ("j", 3, True)
    assert [each.name for each in ledger.jobs_needing_downstream()] == ["j"]
    assert ledger.attempts(key("a"))[0].accepted
    a = ledger.task(key("a"))
    assert (a.reward, a.imported, a.last_job, a.digest, a.n_attempts) == (0.5, True, "j", "digest of a", 1)
    ledger.check_balance()


def test_a_job_makes_an_entry_of_a_file_richer(ledger: Ledger) -> None:
    take(ledger, entry("a", DONE, reward=1.0, trajectory_path="a__1/t.jsonl"))
    take(ledger, job("j", trial("a")))
    assert [each.accepted for each in ledger.attempts(key("a"))] == [True]
    ledger.check_balance()


def test_trials_of_the_earlier_system_make_done_and_are_no_accepted_attempts(ledger: Ledger) -> None:
    take(ledger, job("j", trial("a", accepted=False, capture=None), is_ours=False))
    row = ledger.task(key("a"))
    assert (row.status, row.imported, row.reward) == (DONE, True, 1.0)
    assert [each.accepted for each in ledger.attempts(key("a"))] == [False]
    assert ledger.jobs_needing_downstream() == []
    ledger.check_balance()
    register(ledger, "a")
    ledger.reset(key("a"), force=True)
    take(ledger, job("j", trial("a", accepted=False, capture=None), is_ours=False))
    assert ledger.task(key("a")).status is PENDING  # once taken back by a person, it stays so


def test_of_several_results_for_one_task_the_last_is_accepted(ledger: Ledger) -> None:
    old, new = job("old", trial("a", reward=0.0, name="a__old")), job("new", trial("a", name="a__new"), day=1)
    take(ledger, new, old)
    assert [(each.trial_name, each.accepted) for each in ledger.attempts(key("a"))] == [
        ("a__old", False),
        ("a__new", True),
    ]
    assert ledger.task(key("a")).reward == 1.0
    ledger.check_balance()


def test_a_failure_that_was_tried_again_is_pending(ledger: Ledger) -> None:
    take(ledger, job("one", trial("a", FAILED)), job("two", trial("a", PENDING, name="a__2"), day=1))
    row = ledger.task(key("a"))
    assert (row.status, row.imported, row.n_attempts) == (PENDING, False, 2)


def test_what_a_person_skipped_stays_skipped_whatever_lies_on_disk(ledger: Ledger) -> None:
    take(ledger, entry("a", SKIPPED, note="bad task"), job("j", trial("a")))
    assert ledger.task(key("a")).status is SKIPPED
    assert [each.accepted for each in ledger.attempts(key("a"))] == [False]
    ledger.check_balance()


def test_a_result_that_is_there_is_never_replaced(ledger: Ledger) -> None:
    register(ledger, "a")
    lease = start(ledger, "job-1", "run-1")
    settle(ledger, lease, "a", graded("a__1", 0.0))
    before = ledger.task(key("a"))
    result = take(ledger, entry("a", FAILED), job("j", trial("a", name="a__9")))
    after = ledger.task(key("a"))
    assert (after.status, after.reward, after.trajectory_path) == (DONE, 0.0, before.trajectory_path)
    assert "reset --force" in result.left["py-cc/a"]
    ledger.check_balance()


def test_a_task_that_a_job_holds_is_left_alone(ledger: Ledger) -> None:
    register(ledger, "a", "b")
    start(ledger, "job-1", "run-1", "a")
    ledger.assign("job-2", batch(task_ids=["b"]))
    result = take(ledger, entry("a", DONE, reward=1.0), job("j", trial("b")), job("job-1", trial("a")))
    assert set(result.left) == {"py-cc/a", "j/b__1", "job-1"}
    assert statuses(ledger) == {"a": "running", "b": "pending"}
    ledger.check_balance()


def test_a_file_that_is_older_than_the_ledger_rolls_nothing_back(ledger: Ledger) -> None:
    register(ledger, "a")
    lease = start(ledger, "job-1", "run-1")
    ledger.record_attempt(lease, key("a"), lost("a__1"), RetryPolicy(0, 0, 0))
    for old in (entry("a", PENDING), entry("a", PENDING, n_attempts=0, is_wish=True), entry("a", SKIPPED)):
        take(ledger, old)
        assert ledger.task(key("a")).status is FAILED


def test_a_view_that_a_person_changed_takes_back_what_failed_or_was_skipped(ledger: Ledger) -> None:
    register(ledger, "a", "b", "c")
    lease = start(ledger, "job-1", "run-1", "a")
    ledger.record_attempt(lease, key("a"), lost("a__1"), RetryPolicy(0, 0, 0))
    ledger.skip([key("b")], "slow")
    wishes = [entry("a", PENDING, n_attempts=1), entry("b", PENDING, n_attempts=0), entry("c", SKIPPED, n_attempts=0)]
    take(ledger, *wishes)
    assert statuses(ledger) == {"a": "failed", "b": "skipped", "c": "skipped"}  # not changed by hand: nothing is meant
    ledger.reset(key("c"))
    take(ledger, *(replace(each, is_wish=True) for each in wishes))
    assert statuses(ledger) == {"a": "pending", "b": "pending", "c": "skipped"}
    ledger.check_balance()


@pytest.mark.parametrize("note", ["not in the manifest any more", "duplicate of rust/a"])
def test_copies_and_revoked_ones_are_found_again_by_their_manifest(ledger: Ledger, note: str) -> None:
    take(ledger, entry("a", SKIPPED, note=note, n_attempts=0))
    assert ledger.rows() == []


def test_an_imported_skip_is_a_persons(ledger: Ledger) -> None:
    take(ledger, entry("a", SKIPPED))
    assert ledger.task(key("a")).skip_kind is SkipKind.PERSON
    register(ledger, "b")
    register(ledger, "a", "b")
    assert ledger.task(key("a")).status is SKIPPED


def test_an_imported_failure_that_is_tried_again_is_an_ordinary_task(ledger: Ledger) -> None:
    take(ledger, entry("a", FAILED, note="OOM"))
    register(ledger, "a")
    (row,) = ledger.retry([key("a")])
    assert (row.status, row.imported, row.note) == (PENDING, False, None)
    lease = start(ledger, "job-1", "run-1")
    settle(ledger, lease, "a", graded("a__1"))
    assert ledger.check_balance().imported == 0
