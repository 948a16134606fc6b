"""`trajgen stop`, `pause` and `resume` as a user sees them, over a real ledger and the real start."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from resources.instance import open_instance
from tests.roots import DATASET, register_listed, set_up_root
from tests.unit.intake.conftest import write_task
from trajgen_assets.cli.main import app, exit_code_of
from trajgen_assets.cli.stop import this_person
from trajgen_assets.core.config.load import load_config
from trajgen_assets.core.errors import ConfigError, RefusedError, UnknownNameError
from trajgen_assets.core.exit_codes import EXIT_FAILED, EXIT_OK, EXIT_REFUSED, EXIT_USAGE
from trajgen_assets.core.intake.registration import register_source
from trajgen_assets.core.keys import MAIN_CAMPAIGN, SMOKE_CAMPAIGN
from trajgen_assets.core.ledger.models import AskedBy, Batch, JobState
from trajgen_assets.core.ledger.store import open_ledger
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.rollout.batch import assign_batch
from trajgen_assets.core.rollout.job import run_job
from trajgen_assets.core.rollout.record import SilentListener
from trajgen_assets.core.rollout.slots import job_slot
from trajgen_assets.core.rollout.trials import AgentRecord, TrialsFile, write_trials


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    root = set_up_root(tmp_path, "a", "b", automation={"max_jobs": 1})
    register_listed(root)
    with open_ledger(root) as ledger:
        yield Platform(root, load_config(root.path / "config.yaml"), ledger)


def trajgen(platform: Platform, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["--root", str(platform.root.path), *arguments])


def assigned(platform: Platform, *task_ids: str) -> str:
    job = assign_batch(platform, MAIN_CAMPAIGN, DATASET, asked_by=AskedBy.START, task_ids=task_ids).job
    assert job is not None
    return job.name


def test_a_job_that_waits_is_given_up_and_its_tasks_are_free_again(platform: Platform) -> None:
    job = assigned(platform, "a", "b")
    result = trajgen(platform, "stop", job)
    assert (result.exit_code, "it is given up, and its 2 tasks are free again" in result.output) == (EXIT_OK, True)
    ended = platform.ledger.job(job)
    assert (ended.state, ended.note) == (JobState.REFUSED, f"stopped by {this_person()} before it began")
    assert platform.ledger.counts().assignable == 2
    again = trajgen(platform, "stop", job)
    assert (again.exit_code, again.output.startswith(f"{job} is over already: refused at ")) == (EXIT_OK, True)


def test_who_waits_for_room_with_a_job_hears_that_it_was_stopped(platform: Platform) -> None:
    job = assigned(platform, "a")
    waits = threading.Event()
    raised: list[BaseException] = []

    def wait(_: str) -> None:
        waits.set()
        time.sleep(0.05)

    def drive() -> None:
        try:
            run_job(platform, job, owner="run", listener=SilentListener(), wait_for_slot=wait)
        except BaseException as error:  # noqa: BLE001  handed to the test
            raised.append(error)

    with job_slot(platform.root.locks, 1, holder="another job"):
        driving = threading.Thread(target=drive, daemon=True)
        driving.start()
        assert waits.wait(30)
        assert trajgen(platform, "stop", job).exit_code == EXIT_OK
        driving.join(30)
    assert [type(error).__name__ for error in raised] == ["BusyError"]


def test_a_job_that_runs_is_asked_and_the_command_tells_how_it_ended(platform: Platform) -> None:
    job = "runs"
    platform.ledger.assign(job, Batch(MAIN_CAMPAIGN, DATASET, limit=2))
    lease = platform.ledger.claim(job, "run", ttl_s=60)

    def obey() -> None:
        while platform.ledger.stop_request(job) is None:
            time.sleep(0.05)
        platform.ledger.release(lease, JobState.INTERRUPTED, note="stopped, as somebody asked")

    driver = threading.Thread(target=obey, daemon=True)
    with job_slot(platform.root.locks, 1, holder=job):
        driver.start()
        result = trajgen(platform, "stop", job)
        driver.join(30)
    assert result.exit_code == EXIT_OK, result.output
    assert "interrupted at " in result.output
    assert "stopped, as somebody asked; 0 of 2 tasks have a result from it" in result.output


def test_a_drain_is_left_for_the_driver_and_not_waited_for(platform: Platform) -> None:
    platform.ledger.assign("runs", Batch(MAIN_CAMPAIGN, DATASET, limit=2))
    platform.ledger.claim("runs", "run", ttl_s=60)
    with job_slot(platform.root.locks, 1, holder="runs"):
        result = trajgen(platform, "stop", "runs", "--drain")
    assert (result.exit_code, "starts no more trials" in result.output) == (EXIT_OK, True)
    request = platform.ledger.stop_request("runs")
    assert request is not None
    assert (request.drain, request.asked_by) == (True, this_person())


def test_a_job_without_a_driver_cannot_be_stopped_and_one_that_is_unknown_has_a_nearest(platform: Platform) -> None:
    platform.ledger.assign("runs", Batch(MAIN_CAMPAIGN, DATASET, limit=2))
    platform.ledger.claim("runs", "run", ttl_s=60)
    lost = trajgen(platform, "stop", "runs").exception
    assert isinstance(lost, RefusedError)
    assert exit_code_of(lost) == EXIT_REFUSED
    assert "nothing drives this job any more" in str(lost)
    unknown = trajgen(platform, "stop", "rums").exception
    assert isinstance(unknown, UnknownNameError)
    assert exit_code_of(unknown) == EXIT_USAGE
    assert "the nearest is runs" in str(unknown)


def test_a_pause_holds_start_until_it_is_resumed_and_status_says_so(platform: Platform) -> None:
    result = trajgen(platform, "pause", "--reason", "new keys")
    assert result.output.startswith(f"all launches are paused by {this_person()} since "), result.output
    refused = trajgen(platform, "start").exception
    assert isinstance(refused, RefusedError)
    assert "new keys" in str(refused)
    assert "`trajgen resume` lifts it" in str(refused)
    assert platform.ledger.counts().assignable == 2
    status = trajgen(platform, "status")
    assert ": paused" in status.output
    assert "warning: all launches are paused" in status.output
    assert "lifted: all launches are paused" in trajgen(platform, "resume").output
    assert trajgen(platform, "resume").output == "nothing was paused\n"


def test_a_data_set_that_nobody_knows_is_not_paused_and_one_under_a_wider_pause_says_so(platform: Platform) -> None:
    assert isinstance(trajgen(platform, "pause", "--dataset", "py-c").exception, ConfigError)
    assert platform.ledger.pauses() == []
    trajgen(platform, "pause")
    trajgen(platform, "pause", "--dataset", DATASET)
    result = trajgen(platform, "resume", "--dataset", DATASET)
    assert f"{DATASET} still gets no job: all launches are paused" in result.output


def test_a_job_that_was_assigned_before_the_pause_is_withdrawn_by_its_driver(platform: Platform) -> None:
    job = assigned(platform, "a")
    platform.ledger.pause(DATASET, "ann")
    with pytest.raises(RefusedError, match="paused by ann"), open_instance(platform.root):
        run_job(platform, job, owner="run", listener=SilentListener())
    assert platform.ledger.job(job).state is JobState.REFUSED
    assert platform.ledger.counts().assignable == 2


def test_explain_names_the_nearest_of_an_unknown_task_and_the_line_of_one_not_registered_yet(
    platform: Platform,
) -> None:
    found = trajgen(platform, "explain", "a")
    assert (found.exit_code, f"task:     {DATASET}/a" in found.output) == (EXIT_OK, True)
    assert json.loads(trajgen(platform, "explain", f"{DATASET}/a", "--json").output)["task"] == f"{DATASET}/a"
    unknown = trajgen(platform, "explain", "aa").exception
    assert "the nearest is a" in str(unknown)
    with platform.config.source(DATASET).manifest.open("a") as manifest:
        manifest.write("new\n")
    result = trajgen(platform, "explain", "new")
    assert (result.exit_code, "line 3 of " in result.output) == (EXIT_OK, True)
    assert "not registered yet" in result.output


def test_explain_says_of_no_campaigns_task_that_it_is_not_registered_where_it_is(platform: Platform) -> None:
    with platform.config.source(DATASET).manifest.open("a") as manifest:
        manifest.write("c\n")
    write_task(platform.config.source(DATASET).folder / "c", instruction="Mend c.\n")
    (source,) = platform.config.sources()
    register_source(platform.ledger, source, SMOKE_CAMPAIGN)
    for name in ("c@smoke", f"{DATASET}/c@smoke"):
        found = trajgen(platform, "explain", name)
        assert (found.exit_code, f"task:     {DATASET}/c@smoke" in found.output) == (EXIT_OK, True)
    assert f"write {DATASET}/c@smoke" in str(trajgen(platform, "explain", "c").exception)
    assert "no task of campaign other" in str(trajgen(platform, "explain", "zz@other").exception)


def test_a_smoke_test_is_refused_as_training_data(platform: Platform) -> None:
    header = TrialsFile(
        job="tried",
        dataset=DATASET,
        campaign=SMOKE_CAMPAIGN,
        scaffold="terminus2",
        agent=AgentRecord(name="terminus-2"),
        model="openai/m",
    )
    write_trials(platform.root.job("tried").trials, header)
    refused = trajgen(platform, "convert", "--job", "tried").exception
    assert isinstance(refused, RefusedError)
    assert "a smoke test becomes no training data" in str(refused)
    assert not platform.root.sft_data.exists()


def test_path_prints_the_folder_alone_and_ends_with_1_where_there_is_none(platform: Platform) -> None:
    none = trajgen(platform, "path", "a")
    assert (none.exit_code, none.stdout) == (EXIT_FAILED, "")
    platform.ledger.assign("runs", Batch(MAIN_CAMPAIGN, DATASET, task_ids=["a"]))
    platform.ledger.claim("runs", "run", ttl_s=60)
    folder = platform.root.job("runs").trial("a__1")
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"task": {"path": "/tasks/a"}}))
    found = trajgen(platform, "path", "a")
    assert (found.exit_code, found.stdout) == (EXIT_OK, f"{folder}\n")


def test_logs_follow_a_trial_to_its_end(platform: Platform) -> None:
    platform.ledger.assign("runs", Batch(MAIN_CAMPAIGN, DATASET, task_ids=["a"]))
    lease = platform.ledger.claim("runs", "run", ttl_s=60)
    files = platform.root.job("runs")

    def trial() -> None:
        folder = files.trial("a__1")
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps({"task": {"path": "/tasks/a"}}))
        (folder / "trial.log").write_text("it begins\n")
        time.sleep(1.5)
        with (folder / "trial.log").open("a") as log:
            log.write("it ends")
        platform.ledger.release(lease, JobState.INTERRUPTED)

    running = threading.Thread(target=trial, daemon=True)
    running.start()
    result = trajgen(platform, "logs", "-f", "a")
    running.join()
    assert result.exit_code == EXIT_OK, result.output
    assert [line.split("] ")[1] for line in result.stdout.splitlines()] == ["it begins", "it ends"]
