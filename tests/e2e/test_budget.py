"""A job that uses up its budget in the local sandbox, a day with nothing left, and the jobs that go on after both."""

import pytest
import yaml

from tests.e2e.conftest import Installation
from trajgen_assets.core.exit_codes import EXIT_INTERRUPTED, EXIT_OK, EXIT_REFUSED
from trajgen_assets.core.ledger.models import JobState
from trajgen_assets.core.ledger.store import open_ledger
from trajgen_assets.core.report.archive import read_metadata, read_runs
from trajgen_assets.core.rollout.trials import TrialEntry, load_trials

pytestmark = pytest.mark.e2e

# A bundled task takes 16,000 to 26,000 tokens, a call of it some thousands.
ONE_AND_A_HALF, HALF = 32_000, 12_000


def set_budget(installation: Installation, **budget: dict[str, int]) -> None:
    config = yaml.safe_load(installation.config.read_text())
    config["runtime_info"]["input"]["budget"] = budget
    config["runtime_info"]["input"]["harbor_job"]["n_concurrent"] = 1
    installation.config.write_text(yaml.safe_dump(config))


def entries_of(installation: Installation, job: str) -> list[TrialEntry]:
    return list(load_trials(installation.root.job(job).trials).trials)


def test_trials_end_by_their_own_budget_with_a_reward_and_by_that_of_their_job_without(
    installation: Installation,
) -> None:
    set_budget(installation, trial={"tokens": HALF}, job={"tokens": ONE_AND_A_HALF})
    installation.run("setup", "--skip-environments")
    code, output = installation.run("start", "--limit", "4")
    assert code == EXIT_INTERRUPTED, output
    assert "the job's budget of 32,000 tokens is used up: 2 of its 4 tasks are pending again" in output
    with open_ledger(installation.root) as ledger:
        [job] = ledger.jobs()
        assert (job.state, ledger.check_balance().done) == (JobState.INTERRUPTED, 2)
    entries = entries_of(installation, job.name)
    assert [entry.cause for entry in entries] == [None, None, "budget", "cancelled"]
    for entry in entries[:2]:
        assert (entry.accepted, entry.status, entry.capture) == (True, "done", "cut")
        assert entry.note == "the trial's budget of 12,000 tokens is used up"
        assert entry.reward is not None
    assert not entries[2].accepted
    [run] = read_runs(installation.root).rows
    metadata = read_metadata(installation.root.path / run.archive)
    assert (run.status, run.n_accepted, metadata.stopped_for) == ("interrupted", 2, "budget")


@pytest.mark.faults
def test_a_job_that_used_up_its_budget_is_taken_up_again_when_the_day_has_something_left(
    installation: Installation,
) -> None:
    set_budget(installation, job={"tokens": ONE_AND_A_HALF})
    installation.run("setup", "--skip-environments")
    code, output = installation.run("start", "--limit", "3")
    assert (code, "2 of its 3 tasks are pending again" in output) == (EXIT_INTERRUPTED, True), output

    set_budget(installation, day={"tokens": ONE_AND_A_HALF})
    code, output = installation.run("start", "--limit", "1")
    assert (code, "the day's budget of 32,000 tokens is used up" in output) == (EXIT_REFUSED, True), output
    assert "the day's budget of 32,000 tokens is used up" in installation.run("status")[1]

    set_budget(installation)
    code, output = installation.run("start", "--limit", "2")
    assert code == EXIT_OK, output
    with open_ledger(installation.root) as ledger:
        assert ledger.check_balance().done == 3
        assert ledger.jobs()[-1].state is JobState.FINISHED


@pytest.mark.faults
def test_a_job_whose_first_reply_uses_up_its_budget_is_refused_before_any_trial(installation: Installation) -> None:
    set_budget(installation, job={"tokens": 5})
    installation.run("setup", "--skip-environments")
    code, output = installation.run("start", "--limit", "1")
    assert (code, "the job's budget of 5 tokens is used up" in output) == (EXIT_REFUSED, True), output
    with open_ledger(installation.root) as ledger:
        [job] = ledger.jobs()
        assert (job.state, ledger.check_balance().done) == (JobState.REFUSED, 0)
    assert entries_of(installation, job.name) == []
