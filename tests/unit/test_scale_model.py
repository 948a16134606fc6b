"""What a campaign is forecast to take, by hand-made figures: arithmetic, and the resource that binds."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from benchmarks.scale_model import EVENTS_PER_TRIAL, Fleet, UnitCosts, Workload, call_cpu_s, cpu_of, forecast
from trajgen_assets.core.paths import PROJECT

COSTS = UnitCosts(
    call_cpu_s=0.01, chunk_cpu_s=0.001, request_mb_cpu_s=0.1, harness_cpu_s=2.0, settle_cpu_s=0.5,
    proxy_job_cpu_s=10.0, harness_job_cpu_s=20.0, worker_job_cpu_s=30.0, job_wall_s=60.0,
    ledger_write_s=0.001, event_write_s=0.01, convert_trial_cpu_s=1.0, convert_mb_cpu_s=0.1,
    trial_files_mb=1.0, compressed=10.0, ledger_task_mb=0.001, event_mb=0.002, worker_mb=1000.0, trial_mb=100.0,
)  # fmt: skip
WORK = Workload(
    n_tasks=1000, trials_per_task=1.0, n_calls=10, request_mb=0.5, n_chunks=100, input_tokens=1000, output_tokens=100,
    first_token_s=1.0, tokens_per_s=50.0, tools_s=2.0, around_s=50.0, batch=100,
)  # fmt: skip
FLEET = Fleet(n_hosts=2, cores=4, memory_gb=64.0, trials_at_once=10, n_concurrent=5, sandbox_mb=1000.0)


def test_a_trial_takes_its_calls_its_tools_and_what_is_around_them() -> None:
    assert WORK.trial_s == 50 + 10 * (1 + 100 / 50 + 2)
    assert forecast(WORK, FLEET, COSTS).alone_h["trials at once"] == pytest.approx(
        (1000 * 100 / 20 + 10 * 60 / 4) / 3600
    )


def test_a_call_costs_the_proxy_by_its_chunks_and_its_bytes() -> None:
    assert call_cpu_s(WORK, COSTS) == pytest.approx(0.01 + 100 * 0.001 + 0.5 * 0.1)
    cpu = cpu_of(WORK, COSTS)
    assert cpu.proxy == pytest.approx(1000 * 10 * 0.16 + 10 * 10)
    assert (cpu.harness, cpu.worker) == pytest.approx((1000 * 2 + 10 * 20, 1000 * 0.5 + 10 * 30))
    assert cpu.conversion == pytest.approx(1000 * (1 + 5 * 0.1))


def test_the_hosts_share_all_cpu_and_each_proxy_has_one_core() -> None:
    found = forecast(WORK, FLEET, COSTS)
    assert found.alone_h["CPU of the hosts"] == pytest.approx(found.cpu.total / 8 / 3600)
    assert found.alone_h["proxies, one core each"] == pytest.approx(found.cpu.proxy / 4 / 3600)


def test_one_writer_at_a_time_keeps_the_ledger_and_the_events() -> None:
    alone_h = forecast(WORK, FLEET, COSTS).alone_h
    assert alone_h["writes of the ledger"] == pytest.approx(1000 * 0.001 / 3600)
    assert alone_h["writes of events"] == pytest.approx(1000 * EVENTS_PER_TRIAL * 0.01 / 3600)
    more_hosts = forecast(WORK, replace(FLEET, n_hosts=20), COSTS).alone_h
    assert more_hosts["writes of the ledger"] == alone_h["writes of the ledger"]


@pytest.mark.parametrize(
    ("limits", "binds", "hours"),
    [
        ({}, "trials at once", (5000 + 150) / 3600),
        ({"requests_per_min": 10}, "requests a minute", 10_000 / 10 / 60),
        ({"requests_per_min": 10_000, "tokens_per_min": 5_000}, "tokens a minute", 10_000 * 1100 / 5_000 / 60),
        ({"cores": 1, "trials_at_once": 1000, "n_concurrent": 5}, "CPU of the hosts", None),
    ],
)
def test_the_scarcest_resource_binds(limits: dict[str, float], binds: str, hours: float | None) -> None:
    found = forecast(WORK, replace(FLEET, **limits), COSTS)
    assert found.binds == binds
    assert found.hours == max(found.alone_h.values()) == pytest.approx(hours or found.hours)
    assert list(found.alone_h.values()) == sorted(found.alone_h.values(), reverse=True)


def test_failed_attempts_cost_time_money_and_disk() -> None:
    once = forecast(WORK, replace(FLEET, input_price=1.0, output_price=10.0), COSTS)
    twice = forecast(replace(WORK, trials_per_task=2.0), replace(FLEET, input_price=1.0, output_price=10.0), COSTS)
    assert once.cost_usd == pytest.approx(1000 * 10 * (1000 * 1.0 + 100 * 10.0) / 1e6)
    for name in ("hours", "cost_usd", "disk_gb", "events_gb"):
        assert getattr(twice, name) == pytest.approx(2 * getattr(once, name))
    assert twice.ledger_gb == once.ledger_gb


def test_records_hold_each_request_and_get_small_when_compressed() -> None:
    found = forecast(WORK, FLEET, COSTS)
    assert found.disk_gb == pytest.approx(1000 * (10 * 0.5 + 1) / 1000)
    assert found.compressed_gb == pytest.approx(1000 * (10 * 0.5 / 10 + 1) / 1000)


def test_a_host_whose_memory_does_not_hold_its_trials_is_told() -> None:
    found = forecast(WORK, FLEET, COSTS)
    assert found.memory_share == pytest.approx((2 * 1000 + 10 * 1100) / (64 * 1024))
    assert found.notes == ()
    small = forecast(WORK, replace(FLEET, memory_gb=6.0), COSTS)
    assert "lower them" in small.notes[0]


@pytest.mark.parametrize(("option", "value"), [("--n-hosts", "0"), ("--requests-per-min", "0"), ("--n-tasks", "-1")])
def test_a_figure_that_cannot_be_one_is_refused_by_its_name(option: str, value: str) -> None:
    argv = [sys.executable, PROJECT / "benchmarks" / "scale.py", option, value]
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert f"{option}: {value}" in done.stderr


def test_the_command_prints_a_table_and_the_same_for_programs() -> None:
    argv = [sys.executable, PROJECT / "benchmarks" / "scale.py", "--n-tasks", "100", "--requests-per-min", "60"]
    table = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    found = json.loads(subprocess.run([*argv, "--json"], check=True, capture_output=True, text=True).stdout)
    assert found["binds"] == "requests a minute"
    assert found["hours"] == pytest.approx(100 * 1.1 * 50 / 60 / 60)
    assert f"At least {found['hours']:.1f} hours: requests a minute bind first." in table
