"""Stops and pauses that people ask for lie in the ledger until whoever they are meant for looks."""

import pytest
import sqlalchemy as sa

from tests.unit.ledger.twins import DATASET, SetClock, register, start
from trajgen_assets.core.errors import LedgerError
from trajgen_assets.core.ledger import JobState, Ledger, create_ledger, open_ledger
from trajgen_assets.core.ledger.schema import pauses, removals, schema_migrations, stop_requests
from trajgen_assets.core.paths import Root

ON_BOTH_PLACES = True


def test_a_stop_goes_before_a_drain_whichever_was_asked_first(ledger: Ledger) -> None:
    register(ledger, "a")
    start(ledger, "j", "a")
    assert ledger.stop_request("j") is None
    assert ledger.ask_to_stop("j", "ann", drain=True).drain
    assert not ledger.ask_to_stop("j", "bob", drain=False).drain
    standing = ledger.ask_to_stop("j", "ann", drain=True)
    assert (standing.drain, standing.asked_by) == (False, "bob")
    assert ledger.stop_request("j") == standing


def test_only_a_job_that_runs_can_be_asked_to_stop(ledger: Ledger) -> None:
    register(ledger, "a")
    lease = start(ledger, "j", "a")
    ledger.release(lease, JobState.FINISHED)
    with pytest.raises(LedgerError, match="it is finished"):
        ledger.ask_to_stop("j", "ann", drain=False)
    with pytest.raises(LedgerError):
        ledger.ask_to_stop("none", "ann", drain=False)


def test_a_pause_holds_its_data_set_and_one_of_all_holds_every(ledger: Ledger) -> None:
    other = ledger.pause("other", "ann", "migration")
    assert ledger.pause_of(DATASET) is None
    every = ledger.pause("", "bob")
    assert ledger.pause_of(DATASET) == every
    assert ledger.pause_of("other") in (other, every)
    assert [each.dataset for each in ledger.resume("other")] == ["other"]
    assert ledger.resume("other") == []
    assert [each.dataset for each in ledger.resume("")] == [""]
    assert ledger.pauses() == []


def test_a_pause_that_is_asked_for_again_keeps_its_time_and_takes_the_new_reason(
    ledger: Ledger, clock: SetClock
) -> None:
    first = ledger.pause(DATASET, "ann", "migration")
    clock.pass_s(60)
    assert ledger.pause(DATASET, "bob") == first
    again = ledger.pause(DATASET, "bob", "the disk")
    assert (again.paused_at, again.reason, again.paused_by) == (first.paused_at, "the disk", "bob")
    assert again.words.endswith(" UTC: the disk")


def test_resuming_everything_lifts_the_pauses_of_data_sets_too(ledger: Ledger) -> None:
    ledger.pause(DATASET, "ann")
    ledger.pause("", "ann")
    assert len(ledger.resume("")) == 2


def test_something_is_wrong_since_it_was_first_said_until_it_is_said_to_be_right(
    ledger: Ledger, clock: SetClock
) -> None:
    began = clock()
    assert ledger.wrong_since("disk", is_wrong=False) is None
    assert ledger.wrong_since("disk", is_wrong=True) == began
    clock.pass_s(60)
    assert ledger.wrong_since("disk", is_wrong=True) == began
    assert ledger.wrong_since("budget", is_wrong=True) == clock()
    assert ledger.wrong_since("disk", is_wrong=False) is None
    assert ledger.wrong_since("disk", is_wrong=True) == clock()


def test_a_ledger_from_before_people_could_ask_gets_the_tables_and_keeps_its_rows(root: Root) -> None:
    create_ledger(root)
    with open_ledger(root) as ledger:
        register(ledger, "a")
        with ledger.store.write() as conn:
            for table in (stop_requests, pauses, removals):
                table.drop(conn)
            conn.execute(sa.delete(schema_migrations).where(schema_migrations.c.number >= 3))
    with open_ledger(root) as ledger:
        assert ledger.pauses() == []
        assert ledger.counts().registered == 1
