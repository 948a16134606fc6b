"""A job from its start to its end with ledger and Dagster's storage on a real Postgres, which crashes on the way."""

from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import quote

import pytest

from tests.e2e.conftest import Installation
from tests.postgres import Cluster, running_cluster
from tests.waiting import wait_until
from trajgen_assets.core.ledger.models import JobState, TaskFilter, TaskStatus
from trajgen_assets.core.ledger.store import open_ledger
from trajgen_assets.core.paths import DAGSTER_URL_ENV, LEDGER_URL_ENV, Root

pytestmark = [pytest.mark.e2e, pytest.mark.faults, pytest.mark.timeout(500)]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with running_cluster(fsync="off") as running:
        yield running


def test_a_server_that_crashes_twice_in_a_job_costs_no_task_and_no_trial(
    installation: Installation, cluster: Cluster
) -> None:
    addresses = {
        name: cluster.new_database().replace(quote(cluster.password), "${E2E_POSTGRES_PASSWORD}")
        for name in (LEDGER_URL_ENV, DAGSTER_URL_ENV)
    }
    here = replace(installation, extra_environ={**addresses, "E2E_POSTGRES_PASSWORD": cluster.password})
    code, output = here.run("setup", "--skip-environments")
    assert code == 0, output
    url = addresses[LEDGER_URL_ENV].replace("${E2E_POSTGRES_PASSWORD}", cluster.password)
    with open_ledger(Root(here.root.path, ledger_url=url)) as ledger:
        started = here.begin("start")
        wait_until(lambda: bool(ledger.jobs(JobState.RUNNING)), limit_s=180, alive=lambda: started.poll() is None)
        cluster.restart()
        wait_until(lambda: ledger.counts().done > 0, limit_s=200, alive=lambda: started.poll() is None)
        cluster.restart()
        output, _ = started.communicate(timeout=200)
        assert started.returncode == 0, output
        counts = ledger.check_balance()
        assert (counts.done, counts.registered, counts.waiting) == (4, 6, 2)  # two of the bundled tasks cannot be used
        assert [row.n_attempts for row in ledger.rows(TaskFilter(status=TaskStatus.DONE))] == [1] * 4
        (job,) = ledger.jobs()
        assert job.state is JobState.FINISHED
    assert not here.root.ledger.exists()
    assert not any(
        cluster.password.encode() in path.read_bytes() for path in here.root.path.rglob("*") if path.is_file()
    )
