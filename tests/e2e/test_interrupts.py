"""Interrupts that come again while a job is being cleaned up: it is settled all the same, by its own driver."""

import os
import pty
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import dagster as dg
import psutil
import pytest

from resources.instance import open_instance
from tests.e2e.conftest import KEY_ENV, SECRET, SOLVED, Installation
from tests.waiting import wait_until
from trajgen_assets.cli.setup import prepare_root
from trajgen_assets.cli.state import State
from trajgen_assets.cli.ui import daemon
from trajgen_assets.core.exit_codes import EXIT_INTERRUPTED
from trajgen_assets.core.ledger.models import JobRow, JobState
from trajgen_assets.core.ledger.store import open_ledger
from trajgen_assets.core.process import recorded_processes
from trajgen_assets.core.scripted import Fault, ScriptedModel

pytestmark = pytest.mark.e2e

# Set-up, the proxy, the first reply, and a trial that begins.
BEGUN_S = 300.0
# Dagster gives a run up that is not cancelled after 180 s. A clean-up takes a few seconds.
CANCELLED_S = 120.0
# What the agent tells the model at the beginning of each trial, and nobody else does.
PROMPT = "command-line tasks"


def a_trial_runs(installation: Installation) -> bool:
    texts = (path.read_text() for path in installation.root.litellm.glob("*/events.jsonl"))
    return any("agent_started" in text for text in texts)


def interrupt_again_and_again(send: Callable[[signal.Signals], None], job: JobRow, installation: Installation) -> None:
    """Send one interrupt, and more from the moment on at which Harbor is being ended."""
    harbor = recorded_processes(installation.root.job(job.name).processes)["harbor"]
    send(signal.SIGINT)
    for again in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
        time.sleep(0.15)
        assert harbor.find() is not None  # it is the clean-up that these meet
        send(again)


@contextmanager
def running_daemon(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """Dagster's daemon, which has been asked for one job and asks for no more."""
    monkeypatch.setenv(KEY_ENV, SECRET)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    state = State(installation.root, installation.config, verbose=False)
    prepare_root(state)
    with daemon(state), open_instance(installation.root) as instance:
        wait_until(lambda: bool(jobs_of(installation)), limit_s=BEGUN_S)
        text = installation.config.read_text()
        installation.config.write_text(text.replace("automation: {enabled: true}", "automation: {enabled: false}"))
        yield instance


def jobs_of(installation: Installation) -> list[JobRow]:
    with open_ledger(installation.root) as ledger:
        return ledger.jobs()


def running_job(installation: Installation) -> JobRow:
    wait_until(lambda: a_trial_runs(installation), limit_s=BEGUN_S)
    (job,) = jobs_of(installation)
    assert job.state is JobState.RUNNING
    return job


def check_settled(installation: Installation, job: JobRow) -> None:
    with open_ledger(installation.root) as ledger:
        ended, counts = ledger.job(job.name), ledger.check_balance()
        assert (ended.state, ended.fence) == (JobState.INTERRUPTED, job.fence)  # nobody else had to do it
        assert (counts.running, counts.assigned) == (0, 0)
        assert {attempt.cause for _, attempt in ledger.job_attempts(job.name)} == {"cancelled"}
    assert list(installation.root.sandboxes.glob("*/*")) == []


@pytest.fixture(autouse=True)
def slow_model(model: ScriptedModel) -> None:
    model.set_fault(Fault.SLOW, match=PROMPT, delay_s=20)


def test_a_run_worker_that_is_interrupted_four_times_settles_its_job_and_its_run_is_cancelled(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_daemon(installation, monkeypatch) as instance:
        job = running_job(installation)
        harbor = recorded_processes(installation.root.job(job.name).processes)["harbor"]
        worker = psutil.Process(psutil.Process(harbor.pid).ppid())
        assert instance.run_coordinator.cancel_run(str(job.owner))  # what the button in the web UI does
        interrupt_again_and_again(worker.send_signal, job, installation)
        wait_until(lambda: status_of(instance, job) is dg.DagsterRunStatus.CANCELED, limit_s=CANCELLED_S)
        check_settled(installation, job)


def status_of(instance: dg.DagsterInstance, job: JobRow) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(str(job.owner))
    assert run is not None
    return run.status


def test_a_start_that_is_interrupted_four_times_settles_its_job(installation: Installation) -> None:
    installation.run("setup", "--skip-environments")
    start = installation.begin("start", "--tasks", SOLVED[0])
    job = running_job(installation)
    interrupt_again_and_again(start.send_signal, job, installation)
    output, _ = start.communicate(timeout=CANCELLED_S)
    assert start.returncode == EXIT_INTERRUPTED, output
    check_settled(installation, job)


@pytest.mark.faults
def test_a_person_s_third_interrupt_leaves_the_rest_to_recovery(
    installation: Installation, model: ScriptedModel
) -> None:
    installation.run("setup", "--skip-environments")
    ours, theirs = pty.openpty()
    start = subprocess.Popen(
        installation.command("start", "--tasks", SOLVED[0]), stdin=theirs, env=installation.environ()
    )
    job = running_job(installation)
    for _ in range(3):
        start.send_signal(signal.SIGINT)
        time.sleep(0.15)
    assert start.wait(5) == -signal.SIGINT
    os.close(ours)
    os.close(theirs)
    with open_ledger(installation.root) as ledger:
        assert ledger.job(job.name).state is JobState.RUNNING
    model.set_fault(Fault.NONE)
    code, output = installation.run("start")
    assert code == 0, output
    assert f"settled job {job.name}" in output


@pytest.mark.faults
def test_a_run_that_takes_longer_than_it_may_is_ended_and_its_job_is_settled(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_daemon(installation, monkeypatch) as instance:
        job = running_job(installation)
        instance.add_run_tags(str(job.owner), {dg.MAX_RUNTIME_SECONDS_TAG: "1"})
        wait_until(lambda: status_of(instance, job) is dg.DagsterRunStatus.FAILURE, limit_s=CANCELLED_S)
        wait_until(lambda: all(each.state.is_over for each in jobs_of(installation)), limit_s=CANCELLED_S)
        check_settled(installation, job)
