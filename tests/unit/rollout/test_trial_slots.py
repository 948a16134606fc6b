"""A host's trials are counted over all of its jobs, and a job begins only with enough of them."""

import pytest

from tests.unit.ledger.twins import batch, register
from trajgen_assets.core.errors import BusyError
from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.rollout.trial_slots import least_to_begin, this_host, trial_slots


@pytest.fixture(autouse=True)
def three_jobs(ledger: Ledger) -> None:
    register(ledger, "a", "b", "c")
    for n in range(3):
        ledger.assign(f"job-{n}", batch(limit=1))


@pytest.mark.parametrize(("want", "max_trials", "least"), [(8, 16, 4), (2, 16, 2), (8, 3, 1), (8, 1, 1)])
def test_a_quarter_of_the_host_is_enough_to_begin(want: int, max_trials: int, least: int) -> None:
    assert least_to_begin(want, max_trials) == least


def test_the_next_job_begins_beside_the_tail_of_the_first(ledger: Ledger) -> None:
    with trial_slots(ledger, "job-0", want=8, max_trials=8) as first:
        assert first.n == 8
        with (
            pytest.raises(BusyError, match="8 of 8 trial slots are in use, 2 are needed"),
            trial_slots(ledger, "job-1", want=8, max_trials=8),
        ):
            pass
        first.keep(6)
        with trial_slots(ledger, "job-1", want=8, max_trials=8) as second:
            assert second.n == 2
            first.keep(7)  # what was given back does not come back
            assert ledger.slots_in_use(this_host()) == 8
    assert ledger.slots_in_use(this_host()) == 0


def test_one_who_waits_is_told_what_is_held_and_holds_nothing_meanwhile(ledger: Ledger) -> None:
    told = []
    with trial_slots(ledger, "job-0", want=4, max_trials=4) as first:

        def wait(held: str) -> None:
            told.append((held, ledger.slots_in_use(this_host())))
            first.keep(0)

        with trial_slots(ledger, "job-1", want=4, max_trials=4, wait=wait) as second:
            assert second.n == 4
    assert told == [("4 of 4 trial slots are in use", 4)]
