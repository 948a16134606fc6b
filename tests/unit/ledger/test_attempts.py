from typing import Any

import pytest
import sqlalchemy as sa

from tests.unit.ledger.twins import batch, graded, key, lost, register, settle, start
from trajgen_assets.core.errors import LedgerCorruptError, LedgerError, StaleLeaseError
from trajgen_assets.core.ledger import AttemptKind, CaptureVerdict, JobState, Ledger, SkipKind, TaskStatus
from trajgen_assets.core.ledger.schema import attempts, manifests, tasks

ON_BOTH_PLACES = True


@pytest.mark.parametrize(
    ("lacking", "said"),
    [
        ({"reward": None}, "reward"),
        ({"capture": None}, "capture"),
        ({"capture": CaptureVerdict.GAP}, "capture"),
        ({"trajectory_path": None}, "trajectory"),
        ({"trajectory_path": ""}, "trajectory"),
    ],
)
def test_nothing_is_done_without_reward_capture_and_trajectory(
    ledger: Ledger, lacking: dict[str, Any], said: str
) -> None:
    register(ledger, "a")
    lease = start(ledger)
    with pytest.raises(LedgerError, match=f"{said}.*never done"):
        settle(ledger, lease, "a", graded("a__1", **lacking))
    assert ledger.task(key("a")).status is TaskStatus.RUNNING


def test_the_database_itself_refuses_done_without_a_reward(ledger: Ledger) -> None:
    register(ledger, "a")
    with pytest.raises(LedgerError, match="done_is_graded"), ledger.store.write() as conn:
        conn.execute(sa.update(tasks).values(status=TaskStatus.DONE))


@pytest.mark.parametrize("reward", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("verdict", [CaptureVerdict.COMPLETE, CaptureVerdict.CUT])
def test_a_graded_trial_is_done_whatever_its_reward(ledger: Ledger, reward: float, verdict: CaptureVerdict) -> None:
    register(ledger, "a")
    row = settle(ledger, start(ledger), "a", graded("a__1", reward, capture=verdict, cause="agent budget"))
    assert (row.status, row.reward, row.job, row.last_job) == (TaskStatus.DONE, reward, None, "job-1")
    assert row.completed_at is not None
    ledger.check_balance()


@pytest.mark.parametrize(
    ("kind", "n_allowed"), [(AttemptKind.COUNTED, 2), (AttemptKind.OUTSIDE, 3), (AttemptKind.CAPTURE, 2)]
)
def test_a_task_fails_when_the_cap_of_its_kind_is_reached(ledger: Ledger, kind: AttemptKind, n_allowed: int) -> None:
    register(ledger, "a")
    for n in range(1, n_allowed + 1):
        lease = start(ledger, f"job-{n}")
        row = settle(ledger, lease, "a", lost(f"a__{n}", kind, "why"))
        assert row.status is (TaskStatus.FAILED if n == n_allowed else TaskStatus.PENDING)
        ledger.release(lease, JobState.FINISHED)
    assert (row.n_attempts, row.last_cause, row.note) == (n_allowed, "why", "why")
    assert [each.ordinal for each in ledger.attempts(key("a"))] == list(range(1, n_allowed + 1))
    ledger.check_balance()


def test_what_counts_for_nothing_never_fails_a_task(ledger: Ledger) -> None:
    register(ledger, "a")
    for n in range(20):
        lease = start(ledger, f"job-{n}")
        assert settle(ledger, lease, "a", lost(f"a__{n}", AttemptKind.FREE, "cancelled")).status is TaskStatus.PENDING
        ledger.release(lease, JobState.INTERRUPTED)


def test_recording_a_trial_twice_changes_nothing(ledger: Ledger) -> None:
    register(ledger, "a", "b")
    lease = start(ledger)
    first = settle(ledger, lease, "a", graded("a__1"))
    assert settle(ledger, lease, "a", graded("a__1", 0.0)) == first
    again = settle(ledger, lease, "b", lost("b__1"))
    assert settle(ledger, lease, "b", lost("b__1")) == again
    assert again.n_attempts == 1


def test_a_task_gets_no_second_result_in_its_job(ledger: Ledger) -> None:
    register(ledger, "a")
    lease = start(ledger)
    settle(ledger, lease, "a", graded("a__1"))
    with pytest.raises(StaleLeaseError, match="not running in this job"):
        settle(ledger, lease, "a", graded("a__2"))


def test_a_trial_belongs_to_one_task(ledger: Ledger) -> None:
    register(ledger, "a", "b")
    lease = start(ledger)
    settle(ledger, lease, "a", graded("trial"))
    with pytest.raises(LedgerError, match="another task"):
        settle(ledger, lease, "b", graded("trial"))


def test_a_task_of_another_job_is_not_settled(ledger: Ledger) -> None:
    register(ledger, "a", "b")
    mine = start(ledger, "job-1", "run-1", "a")
    start(ledger, "job-2", "run-2", "b")
    with pytest.raises(StaleLeaseError, match="running in job-2"):
        settle(ledger, mine, "b", graded("b__1"))


def test_attempts_keep_what_they_cost(ledger: Ledger) -> None:
    register(ledger, "a")
    lease = start(ledger)
    settle(ledger, lease, "a", graded("a__1", n_input_tokens=10, n_output_tokens=2, n_cache_tokens=1, cost_usd=0.5))
    ((task, found),) = ledger.job_attempts("job-1")
    assert task == key("a")
    assert (found.n_input_tokens, found.n_output_tokens, found.n_cache_tokens, found.cost_usd) == (10, 2, 1, 0.5)
    assert (found.accepted, found.fence) == (True, lease.fence)


def test_a_done_task_is_reset_only_by_force_and_keeps_its_attempt(ledger: Ledger) -> None:
    register(ledger, "a")
    lease = start(ledger)
    settle(ledger, lease, "a", graded("a__1"))
    ledger.release(lease, JobState.FINISHED)
    with pytest.raises(LedgerError, match="--force"):
        ledger.reset(key("a"))
    assert ledger.reset(key("a"), force=True).status is TaskStatus.PENDING
    settle(ledger, start(ledger, "job-2"), "a", graded("a__2"))
    assert [(each.ordinal, each.accepted) for each in ledger.attempts(key("a"))] == [(1, False), (2, True)]
    ledger.check_balance()


def test_a_running_task_is_neither_reset_nor_skipped(ledger: Ledger) -> None:
    register(ledger, "a")
    start(ledger)
    assert ledger.skip([key("a")], "no") == []
    with pytest.raises(LedgerError, match="running"):
        ledger.reset(key("a"), force=True)


def test_a_retried_task_has_all_its_retries_again(ledger: Ledger) -> None:
    register(ledger, "a")
    for n in (1, 2):
        lease = start(ledger, f"job-{n}")
        settle(ledger, lease, "a", lost(f"a__{n}", AttemptKind.COUNTED, "agent refusal"))
    (row,) = ledger.retry([key("a"), key("unknown")], memory_multiplier=2)
    assert (row.status, row.n_counted, row.n_attempts, row.memory_multiplier) == (TaskStatus.PENDING, 0, 2, 2)
    assert ledger.retry([key("a")]) == []


def test_a_skipped_task_leaves_its_job_before_it_starts(ledger: Ledger) -> None:
    register(ledger, "a", "b")
    ledger.assign("job-1", batch())
    (row,) = ledger.skip([key("a"), key("never-registered")], "leaks its answer")
    assert (row.skip_kind, row.note, row.job) == (SkipKind.PERSON, "leaks its answer", None)
    assert ledger.skip([key("a")], "leaks its answer") == []
    ledger.claim("job-1", "run-1", ttl_s=60)
    assert [each.status for each in ledger.rows()] == [TaskStatus.SKIPPED, TaskStatus.RUNNING]
    assert ledger.consumed_ids("main") == ["a"]


def test_an_imbalance_is_found(ledger: Ledger) -> None:
    register(ledger, "a")
    lease = start(ledger)
    settle(ledger, lease, "a", graded("a__1"))
    with ledger.store.write() as conn:
        conn.execute(sa.update(attempts).values(accepted=False))
    with pytest.raises(LedgerCorruptError, match=r"accepted attempts do not fit.*: 1\. Mend"):
        ledger.check_balance()
    with ledger.store.write() as conn:
        conn.execute(sa.update(attempts).values(accepted=True))
        conn.execute(sa.update(manifests).values(n_entries=5))
    with pytest.raises(LedgerCorruptError, match="not registered: 1"):
        ledger.check_balance()
