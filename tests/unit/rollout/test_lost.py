"""A job is lost when nothing holds its slot, when its lease ran out, or when a recovery left it unfinished."""

from tests.unit.ledger.twins import SetClock, register, start
from trajgen_assets.core.ledger import Ledger
from trajgen_assets.core.paths import Root
from trajgen_assets.core.rollout.lost import RECOVERY, lost_jobs
from trajgen_assets.core.rollout.slots import job_slot


def names(root: Root, ledger: Ledger) -> list[tuple[str, bool]]:
    return [(job.row.name, job.is_held) for job in lost_jobs(root, ledger)]


def test_a_job_in_a_held_slot_is_lost_only_when_its_lease_ran_out(root: Root, ledger: Ledger, clock: SetClock) -> None:
    register(ledger, "a", "b")
    start(ledger, "dead", "run-1", "a", ttl_s=600)
    start(ledger, "alive", "run-2", "b", ttl_s=60)
    with job_slot(root.locks, 2, holder="alive"):
        assert names(root, ledger) == [("dead", False)]
        clock.pass_s(61)
        assert names(root, ledger) == [("alive", True), ("dead", False)]


def test_a_job_that_recovery_took_over_is_lost_until_it_is_settled(root: Root, ledger: Ledger) -> None:
    register(ledger, "a")
    start(ledger, "hung")
    ledger.seize(ledger.job("hung"), RECOVERY, ttl_s=600)
    with job_slot(root.locks, 1, holder="hung"):
        assert names(root, ledger) == [("hung", True)]
