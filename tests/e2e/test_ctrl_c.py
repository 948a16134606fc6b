"""Ctrl-C at each step of `trajgen start`: it ends by itself, and leaves nothing that the next one must mend."""

import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.conftest import SOLVED, UNSOLVED, Installation
from tests.faults import Points
from trajgen_assets.core.exit_codes import EXIT_INTERRUPTED, EXIT_OK
from trajgen_assets.core.keys import TaskKey
from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.ledger.store import open_ledger
from trajgen_assets.core.rollout.trial_slots import this_host

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]

# Python, Dagster, the proxy, a trial: under load.
REACHED_S = 240.0
ENDED_S = 120.0

# In the order in which a start comes to them, and what it then ends with. An interrupt that meets the clean-up of a job
# whose tasks all have their results changes nothing: the data is made within seconds, and the exit code says so.
INTERRUPTED = {
    "before_commit": EXIT_INTERRUPTED,
    "before_claim": EXIT_INTERRUPTED,
    "during_staging": EXIT_INTERRUPTED,
    "during_proxy_start": EXIT_INTERRUPTED,
    "before_first_reply": EXIT_INTERRUPTED,
    "before_record": EXIT_INTERRUPTED,
    "during_publish": EXIT_INTERRUPTED,
    "after_record": EXIT_INTERRUPTED,
    "before_release": EXIT_OK,
    "before_archive": EXIT_OK,
    "during_conversion": EXIT_INTERRUPTED,
}
IN_SHORT = ("before_claim", "during_staging", "during_conversion")
BEFORE_A_RESULT, WITH_A_RESULT = tuple(INTERRUPTED)[:6], tuple(INTERRUPTED)[6:]  # each result uses a task up

TASKS = [*SOLVED, UNSOLVED]


def interrupt_at(installation: Installation, points: Points, step: str) -> None:
    """One `trajgen start` of one task, interrupted at `step`."""
    points.arm(step)
    start = installation.begin("start", "--limit", "1")
    points.wait(step, limit_s=REACHED_S)
    start.send_signal(signal.SIGINT)
    time.sleep(0.3)
    points.release(step)
    output, _ = start.communicate(timeout=ENDED_S)
    assert start.returncode == INTERRUPTED[step], f"{step}: {output}"
    check_nothing_is_left(installation, step)


def check_nothing_is_left(installation: Installation, step: str) -> None:
    assert installation.processes() == [], step
    assert list(installation.root.sandboxes.glob("*/*")) == [], step
    with open_ledger(installation.root) as ledger:
        counts = ledger.check_balance()
        assert (counts.running, counts.assigned) == (0, 0), step
        assert all(job.state.is_over for job in ledger.jobs()), step
        assert ledger.slots_in_use(this_host()) == 0, step
        assert counts.done == len(accepted_by_job(ledger)), step


def accepted_by_job(ledger: Ledger) -> dict[TaskKey, str]:
    """Which job each accepted trajectory is of; fails if a task has two."""
    accepted = [
        (key, job.name) for job in ledger.jobs() for key, each in ledger.job_attempts(job.name) if each.accepted
    ]
    assert len(accepted) == len(dict(accepted))
    return dict(accepted)


def has_data(installation: Installation, job: str) -> bool:
    return (installation.root.job(job).sft / "receipt.json").exists()


@pytest.mark.parametrize(
    "steps",
    [
        IN_SHORT,
        pytest.param(BEFORE_A_RESULT, marks=pytest.mark.faults),
        pytest.param(WITH_A_RESULT[:3], marks=pytest.mark.faults),
        pytest.param(WITH_A_RESULT[3:], marks=pytest.mark.faults),
    ],
    ids=["in short", "before a result", "with a result", "after it"],
)
def test_ctrl_c_at_a_step_of_start_leaves_nothing_behind_and_loses_nothing(
    installation: Installation, tmp_path: Path, steps: tuple[str, ...]
) -> None:
    points = Points(tmp_path / "points")
    driven = replace(installation, extra_environ=points.environ)
    driven.run("setup", "--skip-environments")
    for step in steps:
        interrupt_at(driven, points, step)
    for _ in range(len(TASKS) + 1):
        code, output = driven.run("start")
        assert code == EXIT_OK, output
    with open_ledger(installation.root) as ledger:
        counts, accepted = ledger.check_balance(), accepted_by_job(ledger)
    assert (counts.done, counts.failed) == (len(TASKS), 0)
    unmade = [job for job in set(accepted.values()) if not has_data(installation, job)]
    assert len(unmade) <= sum(INTERRUPTED[step] == EXIT_INTERRUPTED for step in steps)  # that is left to others
    for job in unmade:
        code, output = driven.run("convert", "--job", job)
        assert (code, has_data(installation, job)) == (EXIT_OK, True), output
