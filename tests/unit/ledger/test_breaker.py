from hypothesis import given
from hypothesis import strategies as st

from tests.unit.ledger.twins import DATASET, SetClock, key, lost, register, settle, start
from trajgen_assets.core.ledger import AttemptKind, BreakerState, JobState, Ledger, TaskStatus, tripping_cause
from trajgen_assets.core.ledger.breaker import next_delay_s

ON_BOTH_PLACES = True

GOOD = (AttemptKind.GRADED, None)
BAD = (AttemptKind.OUTSIDE, "model provider")
WORSE = (AttemptKind.OUTSIDE, "sandbox")
COUNTED = (AttemptKind.COUNTED, "agent refusal")


def test_five_in_a_row_trip_and_four_do_not() -> None:
    assert tripping_cause([GOOD, *[BAD] * 5]) == "model provider"
    assert tripping_cause([*[BAD] * 4]) is None
    assert tripping_cause([*[BAD] * 4, WORSE]) is None
    assert tripping_cause([*[BAD] * 5, GOOD]) is None


def test_more_than_half_of_the_last_twenty_trip() -> None:
    assert tripping_cause([BAD, BAD, GOOD] * 7) == "model provider"
    assert tripping_cause([BAD, GOOD] * 10) is None
    assert tripping_cause([BAD, BAD, GOOD] * 3) is None


@given(st.lists(st.sampled_from([GOOD, COUNTED, (AttemptKind.FREE, "cancelled")])))
def test_only_outside_causes_ever_trip(recent: list[tuple[AttemptKind, str | None]]) -> None:
    assert tripping_cause(recent) is None


def test_the_pause_doubles_up_to_half_an_hour() -> None:
    delays = [0.0]
    for _ in range(7):
        delays.append(next_delay_s(delays[-1]))
    assert delays[1:] == [60, 120, 240, 480, 960, 1800, 1800]


def test_a_tripped_breaker_lets_one_probe_through_after_each_pause(ledger: Ledger, clock: SetClock) -> None:
    assert not ledger.breaker_state(DATASET).holds(clock())
    assert not ledger.try_probe(DATASET, within_s=600)
    ledger.trip(DATASET, "sandbox")
    assert ledger.breaker_state(DATASET).holds(clock())
    assert not ledger.try_probe(DATASET, within_s=600)
    clock.pass_s(60)
    assert ledger.try_probe(DATASET, within_s=600)
    assert not ledger.try_probe(DATASET, within_s=600)
    assert ledger.trip(DATASET, "sandbox").delay_s == 120
    clock.pass_s(120)
    assert ledger.try_probe(DATASET, within_s=600)
    clock.pass_s(600)
    assert ledger.try_probe(DATASET, within_s=600)
    ledger.clear(DATASET)
    assert ledger.breaker_state(DATASET).state is BreakerState.CLOSED
    assert ledger.trip(DATASET, "sandbox").delay_s == 60


def test_what_an_outage_did_counts_towards_no_cap(ledger: Ledger) -> None:
    register(ledger, "a", "b")
    for n in (1, 2):
        lease = start(ledger, f"job-{n}", "run-1", "a")
        settle(ledger, lease, "a", lost(f"a__{n}"))
        ledger.release(lease, JobState.FAILED)
    lease = start(ledger, "job-3")
    assert settle(ledger, lease, "a", lost("a__3")).status is TaskStatus.FAILED
    settle(ledger, lease, "b", lost("b__1", cause="verifier"))
    assert tripping_cause(ledger.recent_outcomes("job-3")) is None
    ledger.trip(DATASET, "sandbox", job="job-3")
    a, b = ledger.task(key("a")), ledger.task(key("b"))
    assert (a.status, a.n_infra, a.n_attempts) == (TaskStatus.PENDING, 2, 3)
    assert (b.status, b.n_infra) == (TaskStatus.PENDING, 1)
    assert [each.kind for each in ledger.attempts(key("a"))] == [
        AttemptKind.OUTSIDE,
        AttemptKind.OUTSIDE,
        AttemptKind.FREE,
    ]
    ledger.check_balance()


def test_several_jobs_in_one_outage_are_one_trip(ledger: Ledger, clock: SetClock) -> None:
    ledger.trip(DATASET, "sandbox")
    clock.pass_s(5)
    again = ledger.trip(DATASET, "model_provider")
    assert (again.delay_s, again.n_trips, again.cause) == (60, 1, "sandbox")
    clock.pass_s(55)
    assert ledger.trip(DATASET, "sandbox").delay_s == 120
