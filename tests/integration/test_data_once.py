"""A job's result and data are made once for its accepted trials, whoever makes them and whoever dies meanwhile."""

import json
import multiprocessing
import os
import signal
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import dagster as dg
import pytest

from resources.instance import dagster_environ, open_instance
from resources.platform import PlatformResource
from sensors.finished_jobs import HEAD_START_S, MAX_RUNS
from tests.integration.finished_job import ALL, JOB, Host, finished_host
from tests.unit.ledger.twins import SetClock, batch, register
from tests.unit.sft.twin import lines_of
from tests.waiting import wait_until
from trajgen_assets.cli.start import make_data
from trajgen_assets.core.faults import FAULTS_ENV
from trajgen_assets.core.ledger import open_ledger
from trajgen_assets.core.ledger.models import AskedBy, JobState
from trajgen_assets.core.paths import Root
from trajgen_assets.core.sft.making import making_data
from trajgen_assets.core.sft.receipt import load_receipt, stands
from trajgen_assets.definitions import defs
from trajgen_assets.names import JOB_RESULT

fork = multiprocessing.get_context("forkserver")
fork.set_forkserver_preload(["tests.integration.test_data_once"])


def make_in_child(path: Path, points: Path) -> None:
    root = Root(path)
    os.environ.update(dagster_environ(root, path / "config.yaml") | {FAULTS_ENV: str(points)})
    with PlatformResource().opened() as platform, open_instance(root) as instance:
        assert make_data(platform, instance, platform.ledger.job(JOB), defs())


def begin(host: Host) -> BaseProcess:
    """Make the data in another process, as `trajgen start` does."""
    child = fork.Process(target=make_in_child, args=(host.root.path, host.points.folder))
    child.start()
    return child


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    with finished_host(tmp_path, monkeypatch) as made:
        yield made


def check_made_once(host: Host) -> None:
    """One event of each asset, whole files, a ledger that knows, and a sensor with nothing left to do."""
    assert host.materialized() == dict.fromkeys(ALL, 1)
    files = host.root.job(JOB)
    receipt = load_receipt(files.sft)
    assert receipt is not None
    assert receipt.sft_lf is not None
    assert stands(receipt.sft_im.files, files.sft)
    assert stands(receipt.sft_lf.files, files.sft)
    assert len(lines_of(files.sft / "im.jsonl")) == len(json.loads((files.sft / "lf.json").read_bytes())) == 2
    job = host.job()
    assert job.downstream_digest == job.accepted_digest
    assert host.tick() == ([], "no job has ended since")


def kill(child: BaseProcess) -> None:
    child.kill()
    child.join(10)
    assert child.exitcode == -signal.SIGKILL


@pytest.mark.parametrize("point", ["during_conversion", "before_replace", "after_replace", "before_commit"])
def test_what_a_killed_start_was_making_is_made_by_the_next_tick(host: Host, point: str) -> None:
    host.points.arm("during_conversion")
    child = begin(host)
    assert host.points.wait("during_conversion") == child.pid
    if point != "during_conversion":  # the first file, and the note in the ledger, that come after it
        host.points.arm(point)
        host.points.release("during_conversion")
        assert host.points.wait(point) == child.pid
    assert host.tick() == ([], f"the data of {JOB} is just being made")
    kill(child)

    (request,), _ = host.tick()
    assert host.follow(request).success
    check_made_once(host)


def test_two_that_make_the_same_data_take_turns_and_leave_one_event_of_each(host: Host) -> None:
    host.points.arm("during_conversion")
    first = begin(host)
    host.points.wait("during_conversion")
    second = begin(host)
    wait_until(lambda: says(host.instance, "another process is making its data"))
    host.points.release("during_conversion")
    for child in (first, second):
        child.join(60)
        assert child.exitcode == 0
    check_made_once(host)


def says(instance: dg.DagsterInstance, text: str) -> bool:
    return any(text in entry.user_message for run in instance.get_runs() for entry in instance.all_logs(run.run_id))


def test_a_run_that_failed_is_asked_for_again_and_not_without_end(host: Host) -> None:
    trials = host.root.job(JOB).trials
    whole = trials.read_text()
    trials.write_text("{")
    keys = set()
    for _ in range(MAX_RUNS):
        (request,), _ = host.tick()
        keys.add(request.run_key)
        assert not host.follow(request).success
    assert len(keys) == MAX_RUNS
    requests, words = host.tick()
    assert (requests, words.startswith(f"3 runs did not make the data of {JOB}")) == ([], True)
    trials.write_text(whole)
    assert host.materialize(ALL).success  # what the words ask for: a click
    check_made_once(host)


def test_each_set_of_accepted_trials_has_runs_of_its_own(host: Host) -> None:
    trials = host.root.job(JOB).trials
    whole = trials.read_text()
    trials.write_text("{")
    for _ in range(MAX_RUNS):
        (request,), _ = host.tick()
        host.follow(request)
    assert host.tick()[0] == []
    trials.write_text(whole)
    with host.ledger() as ledger:
        ledger.reset(ledger.rows()[0].key, force=True)
    (request,), _ = host.tick()
    assert host.follow(request).success
    assert len(lines_of(host.root.job(JOB).sft / "im.jsonl")) == 1
    assert host.tick()[0] == []


def test_a_run_that_was_asked_for_before_conversion_was_switched_on_leaves_the_rest_to_another(host: Host) -> None:
    host.configure(enabled=False)
    (request,), _ = host.tick()
    host.configure(enabled=True)
    assert host.follow(request).success
    assert host.job().downstream_digest is None
    (request,), _ = host.tick()
    assert host.follow(request).success
    check_made_once(host)


def test_a_click_on_the_result_alone_leaves_the_data_to_the_sensor(host: Host) -> None:
    assert host.tick()[0]
    assert host.materialize([JOB_RESULT]).success
    (request,), _ = host.tick()
    assert host.follow(request).success
    check_made_once(host)


def test_a_start_that_has_just_ended_its_job_is_given_time_to_make_the_data_itself(host: Host) -> None:
    lately = SetClock()
    with open_ledger(host.root) as ledger:
        lately.at = ledger.now()
    lately.pass_s(-HEAD_START_S / 2)
    with open_ledger(host.root, now=lately) as ledger:
        register(ledger, "a", "b", "c")
        assert ledger.assign("another", batch(), asked_by=AskedBy.START)
        ledger.release(ledger.claim("another", "run", ttl_s=60), JobState.FAILED)
    trials = host.root.job("another").trials
    trials.parent.mkdir(parents=True)
    trials.write_text("{}")
    with making_data(host.root, JOB):
        requests, words = host.tick()
    assert (requests, "the `trajgen start` of another makes its data itself" in words) == ([], True)
