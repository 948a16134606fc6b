from collections.abc import Callable

import pytest

from tests.unit.ledger.twins import SetClock, batch, graded, key, listed, lost, register, settle, start
from trajgen_assets.core.errors import BusyError, LedgerError, StaleLeaseError
from trajgen_assets.core.ledger import JobState, Lease, Ledger, TaskStatus
from trajgen_assets.core.ledger.models import FreeTasks

ON_BOTH_PLACES = True


def statuses(ledger: Ledger) -> str:
    return " ".join(row.status for row in ledger.rows())


def test_a_batch_without_bounds_is_refused(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="limit or task ids"):
        ledger.assign("job-1", batch(limit=None))


def test_a_job_name_is_used_once(ledger: Ledger) -> None:
    register(ledger, "a", "b")
    ledger.assign("job-1", batch(limit=1))
    with pytest.raises(LedgerError, match="already"):
        ledger.assign("job-1", batch(limit=1))


def test_no_job_is_made_of_nothing(ledger: Ledger) -> None:
    assert ledger.assign("job-1", batch()) is None
    assert ledger.jobs() == []


def test_an_assigned_task_stays_pending_and_belongs_to_one_job(ledger: Ledger) -> None:
    register(ledger, "a", "b", "c")
    ledger.assign("job-1", batch(limit=2))
    job = ledger.assign("job-2", batch())
    assert job is not None
    assert [row.job for row in ledger.rows()] == ["job-1", "job-1", "job-2"]
    assert statuses(ledger) == "pending pending pending"
    assert [each.name for each in ledger.jobs_to_launch()] == ["job-1", "job-2"]
    assert (ledger.counts().assigned, ledger.counts().assignable) == (3, 0)


def test_named_and_excluded_tasks_are_obeyed(ledger: Ledger) -> None:
    register(ledger, "a", "b", "c")
    ledger.assign("job-1", batch(task_ids=["c", "a", "unknown"], exclude=["a"]))
    assert [row.task_id for row in ledger.tasks_of_job("job-1")] == ["c"]


def test_as_many_tasks_are_counted_free_as_a_job_would_get_and_the_first_that_waited_is_told(
    ledger: Ledger, clock: SetClock
) -> None:
    assert ledger.free("main", "py-cc") == FreeTasks(0, None)
    register(ledger, "a", "b", "c")
    since = clock.at
    clock.pass_s(60)
    register(ledger, "d", listed("e", reason="lacks the folder"), whole=False)
    register(ledger, "x", dataset="py-dd")
    register(ledger, "y", campaign="other")
    ledger.assign("job-1", batch(task_ids=["a"]))
    assert ledger.free("main", "py-cc", exclude={"b"}) == FreeTasks(2, since)
    job = ledger.assign("job-2", batch(exclude=["b"]))
    assert job is not None
    assert job.n_tasks == 2
    assert ledger.free("main", "py-cc", exclude=["b"]) == FreeTasks(0, None)


def test_what_a_campaign_was_given_since_a_moment_leaves_out_refused_jobs(ledger: Ledger, clock: SetClock) -> None:
    register(ledger, "a", "b", "c", "d")
    register(ledger, "a", campaign="other")
    ledger.assign("before", batch(limit=1))
    clock.pass_s(1)
    moment = clock.at
    ledger.assign("refused", batch(limit=1))
    ledger.withdraw("refused", "the endpoint is out of reach")
    ledger.assign("counted", batch(limit=2))
    ledger.assign("elsewhere", batch(campaign="other"))
    assert ledger.n_assigned_since("main", moment) == 2


def test_claiming_turns_the_tasks_to_running(ledger: Ledger) -> None:
    register(ledger, "a", "b")
    ledger.assign("job-1", batch(limit=1), config_digest="cfg")
    lease = ledger.claim("job-1", "run-1", ttl_s=60, run_id="r", host="h")
    job = ledger.job("job-1")
    assert (lease.fence, job.state, job.owner, job.run_id, job.host) == (1, JobState.RUNNING, "run-1", "r", "h")
    assert statuses(ledger) == "running pending"


def test_another_run_is_refused_while_the_lease_holds(ledger: Ledger, clock: SetClock) -> None:
    register(ledger, "a")
    start(ledger, ttl_s=60)
    with pytest.raises(BusyError, match="run-1 holds it"):
        ledger.claim("job-1", "run-2", ttl_s=60)
    clock.pass_s(61)
    assert ledger.claim("job-1", "run-2", ttl_s=60).fence == 2


def test_a_job_that_is_over_is_not_claimed_again(ledger: Ledger) -> None:
    register(ledger, "a")
    ledger.release(start(ledger), JobState.FINISHED)
    with pytest.raises(LedgerError, match="over"):
        ledger.claim("job-1", "run-2", ttl_s=60)


def test_an_unknown_job_is_not_claimed(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="no such job"):
        ledger.claim("job-9", "run-1", ttl_s=60)


@pytest.mark.parametrize(
    "write",
    [
        lambda ledger, old: settle(ledger, old, "a", graded("a__1")),
        lambda ledger, old: ledger.renew(old, ttl_s=60),
        lambda ledger, old: ledger.release(old, JobState.FINISHED),
    ],
    ids=["record", "renew", "release"],
)
def test_every_write_with_an_old_fence_is_refused(
    ledger: Ledger, clock: SetClock, write: Callable[[Ledger, Lease], object]
) -> None:
    register(ledger, "a")
    old = start(ledger)
    clock.pass_s(3600)
    ledger.claim("job-1", "run-2", ttl_s=60)
    with pytest.raises(StaleLeaseError, match="no longer held"):
        write(ledger, old)
    assert ledger.attempts(key("a")) == []


def test_the_same_owner_claiming_again_gets_a_new_fence(ledger: Ledger) -> None:
    register(ledger, "a")
    old = start(ledger)
    new = ledger.claim("job-1", "run-1", ttl_s=60)
    with pytest.raises(StaleLeaseError):
        ledger.renew(old, ttl_s=60)
    ledger.renew(new, ttl_s=60)


def test_a_lease_that_ran_out_still_writes_until_it_is_taken(ledger: Ledger, clock: SetClock) -> None:
    register(ledger, "a")
    lease = start(ledger)
    clock.pass_s(3600)
    assert ledger.job("job-1").is_overdue(clock())
    assert settle(ledger, lease, "a", graded("a__1")).status is TaskStatus.DONE
    assert ledger.renew(lease, ttl_s=60).expires_at > clock()
    assert not ledger.job("job-1").is_overdue(clock())


def test_of_two_that_settle_a_dead_job_one_gets_it(ledger: Ledger) -> None:
    register(ledger, "a")
    start(ledger)
    dead = ledger.job("job-1")
    lease = ledger.seize(dead, "tick-1", ttl_s=60)
    with pytest.raises(StaleLeaseError, match="changed hands"):
        ledger.seize(dead, "tick-2", ttl_s=60)
    assert settle(ledger, lease, "a", graded("a__1")).status is TaskStatus.DONE
    ledger.release(lease, JobState.FAILED, "the run is gone")
    with pytest.raises(StaleLeaseError):
        ledger.seize(ledger.job("job-1"), "tick-3", ttl_s=60)


def test_releasing_returns_what_is_unfinished(ledger: Ledger) -> None:
    register(ledger, "a", "b")
    lease = start(ledger)
    settle(ledger, lease, "a", graded("a__1"))
    ledger.acquire_slots("host", "job-1", want=4, max_trials=4)
    job = ledger.release(lease, JobState.INTERRUPTED, "stopped by a person")
    assert (job.state, job.note, job.lease_expires_at) == (JobState.INTERRUPTED, "stopped by a person", None)
    assert statuses(ledger) == "done pending"
    assert ledger.task(key("b")).job is None
    assert ledger.slots_in_use("host") == 0
    with pytest.raises(StaleLeaseError):
        ledger.release(lease, JobState.FINISHED)


def test_a_job_is_not_released_into_a_living_state(ledger: Ledger) -> None:
    register(ledger, "a")
    with pytest.raises(LedgerError, match="does not end a job"):
        ledger.release(start(ledger), JobState.ASSIGNED)


def test_a_job_that_never_started_is_returned_too(ledger: Ledger) -> None:
    register(ledger, "a")
    ledger.assign("job-1", batch())
    ledger.acquire_slots("host", "job-1", want=4, max_trials=4)  # as the run had that could not begin it
    job = ledger.return_job("job-1", "run-1", "no job slot is free")
    assert (job.state, job.launch, job.requested_at, job.owner) == (JobState.ASSIGNED, 2, None, None)
    assert (job.note, ledger.slots_in_use("host")) == ("no job slot is free", 0)
    assert ledger.new_launch("job-1").launch == 3


def test_a_second_comer_cannot_return_a_running_job(ledger: Ledger) -> None:
    register(ledger, "a")
    start(ledger)
    for owner in ("run-2", "run-1"):  # what began is recovery's, whoever asks
        with pytest.raises(StaleLeaseError, match="has no job to return"):
            ledger.return_job("job-1", owner)
    with pytest.raises(LedgerError, match="only an assigned job"):
        ledger.new_launch("job-1")


def test_a_request_is_noted_only_for_the_present_launch(ledger: Ledger) -> None:
    register(ledger, "a")
    ledger.assign("job-1", batch())
    ledger.new_launch("job-1")
    ledger.mark_requested("job-1", 1, "late")
    assert ledger.job("job-1").run_id is None
    ledger.mark_requested("job-1", 2, "present")
    assert ledger.job("job-1").run_id == "present"


def test_a_withdrawn_job_frees_its_tasks(ledger: Ledger) -> None:
    register(ledger, "a")
    ledger.assign("job-1", batch())
    assert ledger.withdraw("job-1", "configuration changed").state is JobState.REFUSED
    assert ledger.assign("job-2", batch()) is not None
    ledger.claim("job-2", "run-1", ttl_s=60)
    with pytest.raises(LedgerError, match="not started"):
        ledger.withdraw("job-2", "too late")


def test_results_follow_once_for_each_set_of_accepted_trials(ledger: Ledger) -> None:
    register(ledger, "a", "b")
    lease = start(ledger)
    settle(ledger, lease, "a", graded("a__1"))
    assert ledger.jobs_needing_downstream() == []
    job = ledger.release(lease, JobState.FAILED)
    assert [each.name for each in ledger.jobs_needing_downstream()] == ["job-1"]
    assert job.accepted_digest is not None
    ledger.record_downstream("job-1", job.accepted_digest)
    assert ledger.jobs_needing_downstream() == []
    ledger.reset(key("a"), force=True)
    assert [each.name for each in ledger.jobs_needing_downstream()] == ["job-1"]


def test_a_lost_task_goes_into_the_next_ordinary_batch_first(ledger: Ledger) -> None:
    register(ledger, "a", "b", "c")
    lease = start(ledger, "job-1", "run-1", "a")
    settle(ledger, lease, "a", lost("a__1"))
    ledger.assign("job-2", batch(limit=2))
    assert [row.task_id for row in ledger.tasks_of_job("job-2")] == ["a", "b"]


def test_trial_slots_never_exceed_the_host(ledger: Ledger) -> None:
    register(ledger, "a", "b", "c")
    for n in (1, 2, 3):
        ledger.assign(f"job-{n}", batch(limit=1))
    assert ledger.acquire_slots("host", "job-1", want=6, max_trials=8) == 6
    assert ledger.acquire_slots("host", "job-2", want=6, max_trials=8) == 2
    assert ledger.acquire_slots("host", "job-3", want=1, max_trials=8) == 0
    assert ledger.acquire_slots("elsewhere", "job-3", want=1, max_trials=8) == 1
    assert ledger.acquire_slots("host", "job-1", want=2, max_trials=8) == 2
    assert ledger.acquire_slots("host", "job-2", want=6, max_trials=8) == 6
    ledger.release_unclaimed_slots("job-1")
    assert ledger.slots_in_use("host") == 6


def test_slots_of_a_claimed_job_are_given_back_by_its_end_alone(ledger: Ledger) -> None:
    register(ledger, "a")
    ledger.assign("job-1", batch())
    ledger.acquire_slots("host", "job-1", want=2, max_trials=8)
    assert (ledger.slots_in_use("host"), ledger.slots_in_use("host", claimed=True)) == (2, 0)
    lease = ledger.claim("job-1", "run-1", ttl_s=60)
    ledger.release_unclaimed_slots("job-1")  # by a second run of the job, which found it begun
    assert (ledger.slots_in_use("host"), ledger.slots_in_use("host", claimed=True)) == (2, 2)
    ledger.release(lease, JobState.FINISHED)
    assert ledger.slots_in_use("host") == 0
