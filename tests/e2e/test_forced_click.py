"""A forced click whose worker is killed and that Dagster retries: each task is rolled out once more, not twice."""

import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.tags import RETRY_NUMBER_TAG

from resources.instance import dagster_environ, open_instance
from tests.e2e.conftest import SOLVED, Installation
from tests.faults import Points
from tests.waiting import wait_until
from trajgen_assets.cli.state import State
from trajgen_assets.cli.ui import WORKSPACE, daemon
from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.ledger.models import JobState, TaskFilter, TaskStatus
from trajgen_assets.core.ledger.store import open_ledger
from trajgen_assets.core.paths import PROJECT
from trajgen_assets.launches import RANGE_END_TAG, RANGE_START_TAG, run_config
from trajgen_assets.names import ROLLOUT_JOB, ROLLOUT_OP

# The cheap form is in tests/integration.
pytestmark = [pytest.mark.e2e, pytest.mark.faults, pytest.mark.timeout(500)]

CLICKED = SOLVED[:2]  # neighbours in the manifest
POINT = "before_release"
REACHED_S = 150.0


def click(installation: Installation) -> None:
    """Ask the daemon for a run of the clicked tasks, as the web UI does."""
    tags = {RANGE_START_TAG: f"py-cc/{CLICKED[0]}", RANGE_END_TAG: f"py-cc/{CLICKED[1]}"}
    options = ["--tags", json.dumps(tags), "--config-json", json.dumps(run_config(ROLLOUT_OP, force=True))]
    subprocess.run(
        [Path(sys.executable).parent / "dagster", "job", "launch", "-w", WORKSPACE, "-j", ROLLOUT_JOB, *options],
        env=os.environ | dagster_environ(installation.root, installation.config),
        cwd=PROJECT,
        check=True,
        capture_output=True,
        timeout=REACHED_S,
    )


def retry_is_over(installation: Installation) -> bool:
    with open_instance(installation.root) as instance:
        runs = instance.get_runs(dg.RunsFilter(job_name=ROLLOUT_JOB, tags={RETRY_NUMBER_TAG: "1"}))
    return bool(runs) and all(run.is_finished for run in runs)


def attempts(ledger: Ledger) -> list[list[bool]]:
    rows = [row for row in ledger.rows(TaskFilter(status=TaskStatus.DONE)) if row.task_id in CLICKED]
    return [[attempt.accepted for attempt in ledger.attempts(row.key)] for row in rows]


def test_a_forced_click_that_dagster_retries_leaves_each_task_with_one_new_result(
    installation: Installation, points: Points
) -> None:
    settings = installation.config
    settings.write_text(settings.read_text().replace("automation: {enabled: true}", "automation: {enabled: false}"))
    assert installation.run("setup", "--skip-environments")[0] == 0
    code, output = installation.run("start", "--tasks", CLICKED[0], "--tasks", CLICKED[1])
    assert code == 0, output

    points.arm(POINT)
    with ExitStack() as stack:
        ledger = stack.enter_context(open_ledger(installation.root))
        stack.enter_context(daemon(State(installation.root, settings, verbose=False)))
        click(installation)
        worker = points.wait(POINT, limit_s=REACHED_S)
        assert attempts(ledger) == [[False, True]] * 2
        os.kill(worker, signal.SIGKILL)
        points.release(POINT)
        wait_until(lambda: retry_is_over(installation), limit_s=REACHED_S)
        wait_until(lambda: not ledger.jobs(JobState.RUNNING, JobState.ASSIGNED), limit_s=REACHED_S)
        assert attempts(ledger) == [[False, True]] * 2
        first, forced = ledger.jobs()
        assert len(ledger.superseded_trials(first.name)) == 2
        assert ledger.superseded_trials(forced.name) == set()
        ledger.check_balance()
