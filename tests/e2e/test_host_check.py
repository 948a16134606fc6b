"""A campaign of the agent `oracle` shows that a host works from end to end, and counts towards nothing else."""

import pytest

from tests.e2e.conftest import SOLVED, UNSOLVED, Installation
from trajgen_assets.core.ledger.models import CaptureVerdict, TaskFilter
from trajgen_assets.core.ledger.store import open_ledger
from trajgen_assets.core.scripted import ScriptedModel

pytestmark = pytest.mark.e2e

EXIT_USAGE = 2
N_CALLS_OF_THE_JOB = 1  # the question whether the model is there


def add_campaign(installation: Installation) -> None:
    text = installation.config.read_text()
    installation.config.write_text(f"{text}    campaigns: {{check: {{agent: {{name: oracle}}}}}}\n")


def test_the_reference_solution_earns_its_reward_with_one_recorded_call(
    installation: Installation, model: ScriptedModel
) -> None:
    add_campaign(installation)
    assert installation.run("setup", "--skip-environments")[0] == 0
    n_before = model.n_requests()
    code, output = installation.run("start", "--campaign", "check")
    assert code == 0, output
    assert model.n_requests() - n_before == len(SOLVED) + 1 + N_CALLS_OF_THE_JOB

    with open_ledger(installation.root) as ledger:
        rows = {row.task_id: row for row in ledger.rows(TaskFilter(campaign="check")) if row.eligible}
        assert {task_id: row.reward for task_id, row in rows.items()} == dict.fromkeys([*SOLVED, UNSOLVED], 1.0)
        for row in rows.values():
            (attempt,) = ledger.attempts(row.key)
            assert attempt.capture is CaptureVerdict.COMPLETE
            assert row.trajectory_path is not None
            assert len((installation.root.path / row.trajectory_path).read_text().splitlines()) == 1
        assert ledger.counts("main").registered == 0
    assert not installation.root.sft_data.exists()


def test_a_check_registers_no_more_than_it_rolls_out_and_the_next_one_takes_the_next_task(
    installation: Installation,
) -> None:
    add_campaign(installation)
    assert installation.run("setup", "--skip-environments")[0] == 0
    for n_done in (1, 2):
        code, output = installation.run("start", "--campaign", "check", "--limit", "1")
        assert code == 0, output
        with open_ledger(installation.root) as ledger:
            counts = ledger.counts("check")
            assert (counts.registered, counts.done) == (n_done, n_done)
            jobs = [job.name for job in ledger.jobs()]
    code, output = installation.run("convert", "--job", jobs[0])
    assert code != 0
    assert "a check of a host becomes no training data" in output


def test_it_cannot_stand_for_the_model_that_is_rolled_out(installation: Installation) -> None:
    text = installation.config.read_text()
    installation.config.write_text(f"{text}    agent: {{name: oracle}}\n")
    code, output = installation.run("start")
    assert code == EXIT_USAGE
    assert "oracle only checks a host" in output
