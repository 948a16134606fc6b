"""A job that finds no environments builds them itself, and a driver killed in the middle of it costs nothing."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.conftest import Installation
from tests.waiting import wait_until
from trajgen_assets.core.ledger.models import JobState
from trajgen_assets.core.ledger.store import open_ledger
from trajgen_assets.core.paths import Root
from trajgen_assets.core.provision.environments import standing_environment
from trajgen_assets.core.provision.on_demand import JOB_ENVIRONMENTS
from trajgen_assets.core.report.archive import read_metadata, read_runs

pytestmark = [pytest.mark.e2e, pytest.mark.faults, pytest.mark.timeout(900)]

BUILD_TIME_S = 300.0


def test_a_driver_killed_while_it_builds_leaves_the_next_one_to_build_whole_and_roll_out(
    installation: Installation, tmp_path: Path
) -> None:
    installation = replace(installation, root=Root(installation.root.path, tmp_path / "env"))
    store = installation.root.env / "store"
    assert installation.run("setup", "--skip-environments")[0] == 0
    driver = installation.begin("start")
    wait_until(lambda: any(store.glob(".building-*/lib/*/site-packages/*")), limit_s=BUILD_TIME_S)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.communicate()
    assert standing_environment(installation.root.env, JOB_ENVIRONMENTS["harbor"]) is None
    with open_ledger(installation.root) as ledger:
        assert ledger.check_balance().running == 0

    code, output = installation.run("start", timeout_s=BUILD_TIME_S * 2)
    assert code == 0, output
    standing = {name: standing_environment(installation.root.env, full) for name, full in JOB_ENVIRONMENTS.items()}
    assert {path.name for path in store.iterdir() if path.is_dir()} == {
        each.path.name for each in standing.values() if each is not None
    }
    with open_ledger(installation.root) as ledger:
        assert (ledger.check_balance().done, ledger.jobs()[-1].state) == (4, JobState.FINISHED)
    ended = [row for row in read_runs(installation.root).rows if row.status == "completed"]
    made = read_metadata(installation.root.path / ended[-1].archive).environments
    assert {name: each.store for name, each in made.items()} == {
        name: each.path.name for name, each in standing.items() if each is not None
    }
