"""A job's result and data are made once for its accepted trials, whoever makes them and whoever dies meanwhile."""

import json
import multiprocessing
import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

import dagster as dg
import pytest

from resources.instance import dagster_environ, open_instance, prepare_instance
from resources.platform import PlatformResource
from sensors.finished_jobs import HEAD_START_S, MAX_RUNS, finished_jobs
from tests.configuration import config_text
from tests.faults import Points
from tests.unit.ledger.twins import SetClock, batch, graded, listed, register, settle
from tests.unit.sft.twin import JobOnDisk, lines_of, solved
from tests.waiting import wait_until
from trajgen_assets.cli.start import make_data
from trajgen_assets.core.faults import FAULTS_ENV
from trajgen_assets.core.ledger import Ledger, create_ledger, open_ledger
from trajgen_assets.core.ledger.models import AskedBy, JobRow, JobState
from trajgen_assets.core.paths import Root
from trajgen_assets.core.sft.making import making_data
from trajgen_assets.core.sft.receipt import load_receipt, stands
from trajgen_assets.definitions import defs
from trajgen_assets.launches import RUN_KEY_TAG
from trajgen_assets.names import DATA_JOB, JOB_RESULT, SFT_IM, SFT_LF

fork = multiprocessing.get_context("forkserver")
fork.set_forkserver_preload(["tests.integration.test_data_once"])

JOB = "demo-job"
ALL = [JOB_RESULT, SFT_IM, SFT_LF]


@dataclass
class Host:
    """A root with one job that is over, and whoever makes its data."""

    root: Root
    points: Points
    instance: dg.DagsterInstance

    def configure(self, *, enabled: bool = True) -> None:
        conversion = {"enabled": enabled, "instance_status": "all"}
        text = config_text(self.root.path / "py-cc", sft_conversion=conversion)
        (self.root.path / "config.yaml").write_text(text)

    def ledger(self) -> AbstractContextManager[Ledger]:
        return open_ledger(self.root)

    def begin(self) -> BaseProcess:
        """Make the data in another process, as `trajgen start` does."""
        child = fork.Process(target=make_in_child, args=(self.root.path, self.points.folder))
        child.start()
        return child

    def tick(self) -> tuple[list[dg.RunRequest], str]:
        """What a tick of the sensor asks for, and else its words."""
        result = finished_jobs(
            dg.build_sensor_context(instance=self.instance, resources={"platform": PlatformResource()})
        )
        if isinstance(result, dg.SkipReason):
            return [], str(result.skip_message)
        assert isinstance(result, dg.SensorResult)
        return list(result.run_requests or []), ""

    def follow(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        """Execute the run that was asked for, with the tags that the daemon gives it."""
        return self.materialize(
            list(request.asset_selection or []), tags={**request.tags, RUN_KEY_TAG: str(request.run_key)}
        )

    def materialize(self, assets: list[dg.AssetKey], tags: dict[str, str] | None = None) -> dg.ExecuteInProcessResult:
        return (
            defs()
            .resolve_job_def(DATA_JOB)
            .execute_in_process(
                instance=self.instance,
                partition_key=JOB,
                asset_selection=assets,
                tags=tags,
                raise_on_error=False,
            )
        )

    def materialized(self) -> Counter[dg.AssetKey]:
        found = {key: self.instance.fetch_materializations(key, limit=10).records for key in ALL}
        return Counter({key: len(records) for key, records in found.items() if records})

    def job(self) -> JobRow:
        with self.ledger() as ledger:
            return ledger.job(JOB)


def make_in_child(path: Path, points: Path) -> None:
    root = Root(path)
    os.environ.update(dagster_environ(root, path / "config.yaml") | {FAULTS_ENV: str(points)})
    with PlatformResource().opened() as platform, open_instance(root) as instance:
        assert make_data(platform, instance, platform.ledger.job(JOB), defs())


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    root = Root(tmp_path / "root")
    for name, value in dagster_environ(root, root.path / "config.yaml").items():
        monkeypatch.setenv(name, value)
    create_ledger(root)
    prepare_instance(root, max_jobs=1)
    job_that_is_over(root)
    with open_instance(root) as instance:
        made = Host(root, Points(tmp_path / "points"), instance)
        made.configure()
        yield made


def job_that_is_over(root: Root) -> None:
    on_disk = JobOnDisk(root.path)
    with open_ledger(root, now=SetClock()) as ledger:
        register(ledger, listed("a", "d1"), listed("b", "d1"))
        assert ledger.assign(JOB, batch(), asked_by=AskedBy.START)
        lease = ledger.claim(JOB, "run", ttl_s=60)
        for task_id in ("a", "b"):
            trial = f"{task_id}__1"
            on_disk.add(trial, solved(f"Look at {task_id}."), task_id=task_id, task_key=f"py-cc/{task_id}")
            path = f"jobs/{JOB}/{trial}/agent/litellm-trajectory.jsonl"
            digest = on_disk.entries[-1].trajectory_sha256
            settle(ledger, lease, task_id, graded(trial, trajectory_path=path, trajectory_sha256=digest))
        ledger.release(lease, JobState.FINISHED)
    on_disk.write()


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
    child = host.begin()
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
    first = host.begin()
    host.points.wait("during_conversion")
    second = host.begin()
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
