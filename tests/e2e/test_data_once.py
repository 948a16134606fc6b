"""`trajgen start` and then a run worker killed while they make a job's data: the daemon makes it, and makes it once."""

import os
import signal
from dataclasses import replace

import dagster as dg
import pytest
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES

from resources.instance import open_instance
from tests.e2e.conftest import SOLVED, Installation
from tests.faults import Points
from tests.waiting import wait_until
from trajgen_assets.cli.state import State
from trajgen_assets.cli.ui import daemon
from trajgen_assets.core.ledger.models import JobRow
from trajgen_assets.core.ledger.store import open_ledger
from trajgen_assets.core.sft.receipt import load_receipt, stands
from trajgen_assets.names import DATA_JOB, JOB_RESULT, SFT_IM, SFT_LF

# The cheap form is in tests/integration.
pytestmark = [pytest.mark.e2e, pytest.mark.faults, pytest.mark.timeout(400)]

POINT = "during_conversion"
REACHED_S = 120.0


def the_job(installation: Installation) -> JobRow:
    with open_ledger(installation.root) as ledger:
        (job,) = ledger.jobs()
    return job


def is_made(installation: Installation) -> bool:
    job = the_job(installation)
    return job.downstream_digest is not None and job.downstream_digest == job.accepted_digest


def runs_end(installation: Installation) -> bool:
    with open_instance(installation.root) as instance:
        return not instance.get_runs_count(dg.RunsFilter(statuses=NOT_FINISHED_STATUSES))


def test_a_job_s_data_is_made_once_though_a_start_and_a_run_worker_are_killed_at_it(
    installation: Installation, points: Points
) -> None:
    settings = installation.config
    settings.write_text(settings.read_text().replace("automation: {enabled: true}", "automation: {enabled: false}"))
    armed = replace(installation, extra_environ=points.environ)
    assert armed.run("setup", "--skip-environments")[0] == 0

    points.arm(POINT)
    start = armed.begin("start", "--tasks", SOLVED[0])
    assert points.wait(POINT, limit_s=REACHED_S) == start.pid
    start.kill()
    start.communicate()
    points.release(POINT)
    assert not is_made(installation)

    points.arm(POINT)
    with daemon(State(installation.root, settings, verbose=False)):
        worker = points.wait(POINT, limit_s=REACHED_S)
        os.kill(worker, signal.SIGKILL)
        points.release(POINT)
        wait_until(lambda: is_made(installation), limit_s=REACHED_S)
        wait_until(lambda: runs_end(installation), limit_s=REACHED_S)

    job = the_job(installation)
    with open_instance(installation.root) as instance:
        runs = instance.get_runs(dg.RunsFilter(job_name=DATA_JOB))
        assert [run.status.value for run in reversed(runs)] == ["FAILURE", "FAILURE", "SUCCESS"]
        for asset in (JOB_RESULT, SFT_IM, SFT_LF):
            (record,) = instance.fetch_materializations(asset, limit=10).records
            assert record.partition_key == job.name
    folder = installation.root.job(job.name).sft
    receipt = load_receipt(folder)
    assert receipt is not None
    assert receipt.sft_lf is not None
    assert stands(receipt.sft_im.files, folder)
    assert stands(receipt.sft_lf.files, folder)
