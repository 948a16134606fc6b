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
MORE_THAN_ONE = 32_000
LESS_THAN_ONE = 12_000


def set_budget(installation: Installation, **budget: dict[str, int]) -> None:
    config = yaml.safe_load(installation.config.read_text())
    config["runtime_info"]["input"]["budget"] = budget
    config["runtime_info"]["input"]["harbor_job"]["n_concurrent"] = 1
    installation.config.write_text(yaml.safe_dump(config))


def entries_of(installation: Installation, job: str) -> list[TrialEntry]:
    return list(load_trials(installation.root.job(job).trials).trials)


def test_a_job_that_used_up_its_budget_is_settled_archived_and_taken_up_again(installation: Installation) -> None:
    set_budget(installation, job={"tokens": MORE_THAN_ONE})
    installation.run("setup", "--skip-environments")
    code, output = installation.run("start", "--limit", "3")
    assert code == EXIT_INTERRUPTED, output
    assert f"the job's budget of {MORE_THAN_ONE:,} tokens is used up: 2 of its 3 tasks are pending again" in output
    with open_ledger(installation.root) as ledger:
        [job] = ledger.jobs()
        counts = ledger.counts()
    assert (job.state, counts.done, counts.pending, counts.failed) == (JobState.INTERRUPTED, 1, 3, 0)
    entries = entries_of(installation, job.name)
    assert sorted((entry.accepted, entry.cause) for entry in entries) == [
        (False, "budget"),
        (False, "cancelled"),
        (True, None),
    ]
    [run] = read_runs(installation.root).rows
    metadata = read_metadata(installation.root.path / run.archive)
    assert (run.status, run.n_accepted, metadata.stopped_for) == ("interrupted", 1, "budget")

    set_budget(installation, day={"tokens": MORE_THAN_ONE})
    code, output = installation.run("start", "--limit", "1")
    assert (code, "the day's budget of 32,000 tokens is used up" in output) == (EXIT_REFUSED, True), output
    assert "the day's budget of 32,000 tokens is used up" in installation.run("status")[1]

    set_budget(installation, trial={"tokens": LESS_THAN_ONE})
    code, output = installation.run("start", "--limit", "2")
    assert code == EXIT_OK, output
    with open_ledger(installation.root) as ledger:
        last = ledger.jobs()[-1]
        assert ledger.counts().done == 3
    for entry in entries_of(installation, last.name):
        assert (entry.accepted, entry.capture, entry.cause) == (True, "cut", None)
        assert entry.note == "the trial's budget of 12,000 tokens is used up"
        assert entry.reward is not None
