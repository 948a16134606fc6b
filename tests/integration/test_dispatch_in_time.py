"""Hours of a host, simulated over the real ledger and dispatch: slots stay busy, and an outage costs nothing."""

import random
from pathlib import Path

import pytest
import yaml

from tests.integration.host_in_time import DATA_SET, Host, host_with
from trajgen_assets.core.errors import EndpointError
from trajgen_assets.core.ledger.breaker import LONGEST_DELAY_S, tripping_cause
from trajgen_assets.core.ledger.models import (
    AttemptKind,
    AttemptOutcome,
    BreakerState,
    RetryPolicy,
    TaskFilter,
    TaskStatus,
)
from trajgen_assets.core.report.alerts import read_alerts
from trajgen_assets.core.report.archive import ArchiveEntry
from trajgen_assets.core.rollout.causes import Cause
from trajgen_assets.core.rollout.holding import released
from trajgen_assets.core.rollout.job import run_job
from trajgen_assets.core.rollout.record import SilentListener

N_TASKS = 300
MAX_TRIALS = 16
HOUR_S = 3600.0


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nine_tenths_of_the_slots_are_busy_until_the_last_batch(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    durations_s = {f"t-{n:03}": draw.lognormvariate(6.4, 0.8) for n in range(N_TASKS)}  # ten minutes in the median
    with host_with(tmp_path, list(durations_s), max_trials=MAX_TRIALS) as host:
        host.durations_s = durations_s
        host.at(0.0, lambda: host.tick(host.begin_later))
        host.run_until(lambda: host.platform.ledger.counts().done == N_TASKS)
        share = host.busy_share(host.last_assigned_s, MAX_TRIALS)
        assert host.platform.ledger.check_balance().done == N_TASKS
        assert all(attempts == 1 for attempts in (row.n_attempts for row in host.platform.ledger.rows()))
    assert share >= 0.9, f"{share:.3f}"


def refused(host: Host, job: str) -> None:
    """A run against the dead endpoint: the real job, which opens a connection that nobody accepts."""
    with pytest.raises(EndpointError, match="out of reach"):
        run_job(host.platform, job, owner="run", listener=SilentListener())


def test_six_hours_without_the_endpoint_cost_no_task_and_few_runs_and_alert_once(tmp_path: Path) -> None:
    task_ids = [f"t-{n:03}" for n in range(N_TASKS)]
    with host_with(tmp_path, task_ids, max_trials=MAX_TRIALS) as host:
        ledger, root = host.platform.ledger, host.platform.root
        host.at(0.0, lambda: host.tick(lambda job: refused(host, job)))
        host.run_until(lambda: host.clock.seconds > 6 * HOUR_S)
        assert ledger.check_balance().pending == N_TASKS
        assert host.n_requests <= 20
        (alert,) = read_alerts(root)
        assert alert.kind == "outage"
        assert "model_provider" in alert.text
        (entry,) = yaml.safe_load(root.index.read_text())["runs"]
        assert (entry["status"], entry["n_runs"]) == ("refused", host.n_requests)

        host._events.clear()  # the endpoint is back
        host.durations_s = dict.fromkeys(task_ids, 300.0)
        host.at(host.clock.seconds, lambda: host.tick(host.begin_later))
        host.run_until(lambda: ledger.breaker_state(DATA_SET).state is BreakerState.CLOSED)
        host.run_until(lambda: ledger.counts().done == N_TASKS)
        assert ledger.check_balance().done == N_TASKS
        assert not ledger.rows(TaskFilter(status=TaskStatus.FAILED))


def failing_sandboxes(host: Host, job: str) -> None:
    """A run whose every trial the sandbox ends, up to where the job is stopped; its end is the real one."""
    ledger, entry = host.platform.ledger, ArchiveEntry(job=job, owner="run", started_at="now")
    lease = ledger.claim(job, "run", ttl_s=60)
    with released(host.platform, lease, entry):
        stopped_for, n_trials = None, 0
        for row in ledger.tasks_of_job(job):
            outcome = AttemptOutcome(f"{row.task_id}__{job}", AttemptKind.OUTSIDE, Cause.SANDBOX)
            ledger.record_attempt(lease, row.key, outcome, RetryPolicy())
            n_trials += 1
            if stopped_for := tripping_cause(ledger.recent_outcomes(job)):
                ledger.trip(DATA_SET, stopped_for, job=job)
                break
        entry.facts |= {"n_trials": n_trials, "causes": {Cause.SANDBOX: n_trials}, "stopped_for": stopped_for}


def test_six_hours_of_failing_sandboxes_cost_no_task_either(tmp_path: Path) -> None:
    task_ids = [f"t-{n:03}" for n in range(N_TASKS)]
    with host_with(tmp_path, task_ids, max_trials=MAX_TRIALS) as host:
        ledger = host.platform.ledger
        host.at(0.0, lambda: host.tick(lambda job: failing_sandboxes(host, job)))
        host.run_until(lambda: host.clock.seconds > 6 * HOUR_S)
        assert ledger.check_balance().pending == N_TASKS
        assert host.n_requests <= 20
        assert {row.n_infra for row in ledger.rows()} == {0}
        assert ledger.breaker_state(DATA_SET).delay_s == LONGEST_DELAY_S
