import pytest

from tests.unit.ledger.twins import SetClock, batch, graded, key, listed, lost, register, settle, start
from trajgen_assets.core.errors import TaskError
from trajgen_assets.core.ledger import (
    AttemptKind,
    JobState,
    Ledger,
    ManifestSeen,
    RegisterResult,
    SkipKind,
    TaskFilter,
    TaskStatus,
)
from trajgen_assets.core.ledger.importing import FoundTask, import_found

ON_BOTH_PLACES = True


def test_an_id_that_is_no_name_registers_nothing(ledger: Ledger) -> None:
    with pytest.raises(TaskError):
        register(ledger, "good", "../evil")
    assert ledger.counts().registered == 0


def test_registering_again_changes_nothing(ledger: Ledger) -> None:
    assert register(ledger, "a", "b").new == ("a", "b")
    before = ledger.rows()
    again = register(ledger, "a", "b")
    assert (again.new, again.changed, again.revoked, again.returned) == ((), (), (), ())
    assert ledger.rows() == before


def test_a_listed_id_without_a_folder_waits_with_its_reason_and_is_never_assigned(ledger: Ledger) -> None:
    result = register(ledger, "a", listed("b", reason="no folder"))
    assert result.waiting == ("b",)
    waiting = ledger.task(key("b"))
    assert (waiting.status, waiting.eligible, waiting.ineligible_reason) == (TaskStatus.PENDING, False, "no folder")
    job = ledger.assign("job-1", batch())
    assert job is not None
    assert job.n_tasks == 1
    assert ledger.assign("job-2", batch(task_ids=["b"])) is None
    assert ledger.counts().waiting == 1


def test_a_waiting_task_becomes_eligible_when_its_folder_is_complete(ledger: Ledger) -> None:
    register(ledger, listed("b", reason="no folder"))
    assert ledger.partitions_to_add() == []
    register(ledger, "b")
    assert [row.task_id for row in ledger.partitions_to_add()] == ["b"]
    assert ledger.assign("job-1", batch()) is not None


def test_a_pending_task_takes_its_new_content(ledger: Ledger) -> None:
    register(ledger, listed("a", "old"))
    assert register(ledger, listed("a", "new")).changed == ()
    row = ledger.task(key("a"))
    assert (row.digest, row.changed_digest) == ("new", None)


def test_changed_content_of_a_finished_task_is_shown_and_not_rolled_out(ledger: Ledger) -> None:
    register(ledger, listed("a", "old"))
    lease = start(ledger)
    settle(ledger, lease, "a", graded("a__1"))
    assert register(ledger, listed("a", "new")).changed == ("a",)
    row = ledger.task(key("a"))
    assert (row.status, row.digest, row.changed_digest) == (TaskStatus.DONE, "old", "new")
    assert ledger.assign("job-2", batch()) is None
    assert register(ledger, listed("a", "new")).changed == ()
    register(ledger, listed("a", "old"))
    assert ledger.task(key("a")).changed_digest is None


def test_content_that_changed_during_a_lost_attempt_is_what_the_next_one_gets(ledger: Ledger) -> None:
    register(ledger, listed("a", "old"))
    lease = start(ledger)
    register(ledger, listed("a", "new"))
    assert ledger.task(key("a")).digest == "old"
    settle(ledger, lease, "a", lost("a__1"))
    row = ledger.task(key("a"))
    assert (row.status, row.digest, row.changed_digest) == (TaskStatus.PENDING, "new", None)


def test_a_revoked_pending_task_is_skipped_and_comes_back_when_listed_again(ledger: Ledger) -> None:
    register(ledger, "a", "b")
    assert register(ledger, "a").revoked == ("b",)
    row = ledger.task(key("b"))
    assert (row.status, row.skip_kind, row.listed) == (TaskStatus.SKIPPED, SkipKind.REVOKED, False)
    assert register(ledger, "a").revoked == ()
    assert register(ledger, "a", "b").returned == ("b",)
    assert ledger.task(key("b")).status is TaskStatus.PENDING
    assert ledger.task(key("b")).completed_at is None


def test_a_revoked_finished_task_stays_marked(ledger: Ledger) -> None:
    register(ledger, "a")
    settle(ledger, start(ledger), "a", graded("a__1"))
    assert register(ledger).revoked == ()
    row = ledger.task(key("a"))
    assert (row.status, row.listed) == (TaskStatus.DONE, False)


def test_what_a_person_skipped_stays_skipped_when_listed_again(ledger: Ledger) -> None:
    register(ledger, "a")
    ledger.skip([key("a")], "too slow")
    register(ledger)
    assert register(ledger, "a").returned == ()
    assert ledger.task(key("a")).skip_kind is SkipKind.PERSON


def test_a_task_revoked_after_assignment_is_not_started(ledger: Ledger) -> None:
    register(ledger, "a", "b")
    ledger.assign("job-1", batch())
    register(ledger, "a")
    assert ledger.task(key("b")).status is TaskStatus.PENDING
    ledger.claim("job-1", "run-1", ttl_s=60)
    assert ledger.task(key("b")).skip_kind is SkipKind.REVOKED
    assert ledger.task(key("a")).status is TaskStatus.RUNNING


def test_a_task_revoked_while_running_is_not_tried_again(ledger: Ledger) -> None:
    register(ledger, "a", "b")
    lease = start(ledger)
    register(ledger)
    assert settle(ledger, lease, "a", lost("a__1")).skip_kind is SkipKind.REVOKED
    ledger.release(lease, JobState.INTERRUPTED)
    assert ledger.task(key("b")).skip_kind is SkipKind.REVOKED
    ledger.check_balance()


def test_lines_that_were_appended_revoke_nothing(ledger: Ledger) -> None:
    register(ledger, "a", "b")
    result = ledger.register("main", "py-cc", [listed("c"), listed("b")], ManifestSeen("m", "x", 3), whole=False)
    assert (result.new, result.revoked) == (("c",), ())
    assert ledger.counts().pending == 3


def test_the_same_task_under_a_second_data_set_name_is_a_duplicate(ledger: Ledger) -> None:
    register(ledger, "a", listed("b", "one"))
    result = register(ledger, "a", listed("b", "other"), dataset="py-dd")
    assert result.duplicates == ("a",)
    row = ledger.task(key("a", "py-dd"))
    assert (row.status, row.skip_kind, row.note) == (TaskStatus.SKIPPED, SkipKind.DUPLICATE, "duplicate of py-cc/a")
    assert ledger.task(key("b", "py-dd")).status is TaskStatus.PENDING


def test_another_campaign_consumes_the_same_task_for_itself(ledger: Ledger) -> None:
    register(ledger, "a")
    assert register(ledger, "a", dataset="py-dd", campaign="other").duplicates == ()


def test_a_task_that_becomes_a_duplicate_by_new_content_is_not_rolled_out(ledger: Ledger) -> None:
    register(ledger, "a")
    register(ledger, listed("a", reason="no folder"), dataset="py-dd")
    assert register(ledger, "a", dataset="py-dd").duplicates == ("a",)


def test_a_revoked_task_that_returns_is_a_duplicate_of_its_successor(ledger: Ledger) -> None:
    register(ledger, "a")
    register(ledger)
    assert register(ledger, "a", dataset="py-dd").duplicates == ()
    assert register(ledger, "a").duplicates == ("a",)
    assert [row.status for row in ledger.rows()] == [TaskStatus.SKIPPED, TaskStatus.PENDING]


def test_tasks_keep_the_order_in_which_they_were_listed(ledger: Ledger) -> None:
    register(ledger, "c", "a", "b")
    register(ledger, "0", "c", "a", "b")
    assert [row.task_id for row in ledger.rows()] == ["c", "a", "b", "0"]


def test_partitions_are_handed_out_until_they_are_marked(ledger: Ledger) -> None:
    register(ledger, "a", "b", "c")
    first = ledger.partitions_to_add(2)
    assert [row.task_id for row in first] == ["a", "b"]
    ledger.mark_partitioned(first)
    assert [row.task_id for row in ledger.partitions_to_add()] == ["c"]


def test_the_manifest_is_on_record(ledger: Ledger) -> None:
    assert ledger.manifest("main", "py-cc") is None
    register(ledger, "a", "b")
    found = ledger.manifest("main", "py-cc")
    assert found is not None
    assert found.n_entries == 2


def test_the_failed_are_found_by_cause_and_job(ledger: Ledger) -> None:
    register(ledger, "a", "b")
    lease = start(ledger, "job-1", "run-1", "a")
    settle(ledger, lease, "a", lost("a__1", AttemptKind.COUNTED, "agent budget"))
    assert [row.task_id for row in ledger.rows(TaskFilter(cause="agent budget"))] == ["a"]
    assert [row.task_id for row in ledger.rows(TaskFilter(job="job-1"))] == ["a"]
    assert [row.task_id for row in ledger.rows(limit=1, after=ledger.task(key("a")).position)] == ["b"]


def enlist(ledger: Ledger, *ids: str, whole: bool = True, dataset: str = "py-cc") -> RegisterResult:
    return ledger.enlist("main", dataset, ids, ManifestSeen("m", "x", len(ids)), whole=whole)


def test_an_id_without_a_look_waits_and_is_never_assigned(ledger: Ledger) -> None:
    assert enlist(ledger, "b", "a").new == ("b", "a")
    assert [(row.task_id, row.ineligible_reason) for row in ledger.rows()] == [
        ("b", "not looked at yet"),
        ("a", "not looked at yet"),
    ]
    assert ledger.assign("job-1", batch()) is None
    ledger.check_balance()


def test_listing_without_a_look_leaves_what_is_known_as_it_is(ledger: Ledger) -> None:
    register(ledger, "a", listed("b", reason="no folder"))
    before = ledger.rows()
    assert enlist(ledger, "a", "b") == RegisterResult()
    assert ledger.rows() == before


def test_listing_without_a_look_revokes_and_takes_back_as_with_one(ledger: Ledger) -> None:
    register(ledger, "a", "b")
    assert enlist(ledger, "a").revoked == ("b",)
    assert ledger.task(key("b")).skip_kind is SkipKind.REVOKED
    assert enlist(ledger, "b", whole=False).returned == ("b",)
    assert [(row.status, row.eligible) for row in ledger.rows()] == [(TaskStatus.PENDING, True)] * 2
    assert enlist(ledger, "a", "c", whole=False).new == ("c",)
    assert ledger.task(key("b")).listed


def test_a_task_that_returns_without_a_look_is_a_duplicate_of_its_successor(ledger: Ledger) -> None:
    register(ledger, "a")
    enlist(ledger)
    register(ledger, "a", dataset="py-dd")
    assert enlist(ledger, "a").duplicates == ("a",)


def test_an_id_that_is_no_name_enlists_nothing(ledger: Ledger) -> None:
    with pytest.raises(TaskError):
        enlist(ledger, "good", "../evil")
    assert ledger.counts().registered == 0


def test_a_look_makes_a_task_eligible_or_says_why_not(ledger: Ledger) -> None:
    enlist(ledger, "a", "b")
    ledger.note_looks("main", "py-cc", [listed("a"), listed("b", reason="no folder")])
    assert [row.task_id for row in ledger.partitions_to_add()] == ["a"]
    assert [row.ineligible_reason for row in ledger.waiting("main", "py-cc")] == ["no folder"]


def test_a_look_that_comes_too_late_changes_nothing(ledger: Ledger) -> None:
    register(ledger, "a", "b", "c")
    lease = start(ledger, "job-1", "run-1", "a")
    settle(ledger, lease, "a", graded("a__1"))
    ledger.assign("job-2", batch(task_ids=["b"]))
    register(ledger, "a", "b")
    before = ledger.rows()
    ledger.note_looks("main", "py-cc", [listed(each, reason="gone") for each in ("a", "b", "c", "unknown")])
    assert ledger.rows() == before


def test_a_look_finds_duplicates(ledger: Ledger) -> None:
    register(ledger, "a")
    enlist(ledger, "a", dataset="py-dd")
    assert ledger.note_looks("main", "py-dd", [listed("a")]).duplicates == ("a",)


def test_the_waiting_are_handed_out_in_order_and_in_pages(ledger: Ledger) -> None:
    enlist(ledger, "a", "b", "c")
    ledger.note_looks("main", "py-cc", [listed("a", reason="no folder"), listed("b")])
    assert [row.task_id for row in ledger.waiting("main", "py-cc")] == ["a", "c"]
    assert [row.task_id for row in ledger.waiting("main", "py-cc", unseen=True)] == ["c"]
    assert [row.task_id for row in ledger.waiting("main", "py-cc", unseen=False)] == ["a"]
    first = ledger.waiting("main", "py-cc", limit=1)[0]
    assert [row.task_id for row in ledger.waiting("main", "py-cc", after=first.position)] == ["c"]


def test_the_fingerprint_changes_with_every_task_and_with_nothing_else(ledger: Ledger, clock: SetClock) -> None:
    prints = [ledger.fingerprint()]
    for change in (
        lambda: enlist(ledger, "a"),
        lambda: ledger.note_looks("main", "py-cc", [listed("a")]),
        lambda: start(ledger),
        lambda: ledger.release(ledger.claim("job-1", "run-1", ttl_s=60), JobState.INTERRUPTED),
        lambda: ledger.skip([key("a")], "too slow"),
    ):
        clock.pass_s(0.001)
        change()
        prints.append(ledger.fingerprint())
    assert len(set(prints)) == len(prints)
    ledger.mark_partitioned(ledger.rows())
    enlist(ledger, "a")
    assert ledger.fingerprint() == prints[-1]


def test_what_was_imported_is_shown_once_it_was_looked_at(ledger: Ledger) -> None:
    import_found(ledger, [FoundTask(key("a"), TaskStatus.DONE, reward=1.0)], [])
    enlist(ledger, "a")
    assert ledger.waiting("main", "py-cc") == []
    assert [row.task_id for row in ledger.waiting("main", "py-cc", unseen=True)] == ["a"]
    ledger.note_looks("main", "py-cc", [listed("a")])
    row = ledger.task(key("a"))
    assert (row.status, row.digest, row.eligible) == (TaskStatus.DONE, "digest of a", True)
    ledger.check_balance()
