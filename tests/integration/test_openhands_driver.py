"""Processes of OpenHands' harness that end, hang, die or are ended: each trial has its result, and nothing is left."""

import os
import secrets
import signal
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.docker import needs_docker
from tests.faults import Points
from tests.integration.openhands_jobs import JOB, Job, claimed, configured, drive_elsewhere, follow
from tests.openhands_checkout.making import StandIn, row
from tests.waiting import wait_until
from trajgen_assets.core.openhands.layout import RunFolder
from trajgen_assets.core.openhands.leftovers import PREFIX, remove_containers
from trajgen_assets.core.openhands.trial import HarnessRecord, Trial, begin
from trajgen_assets.core.paths import Root
from trajgen_assets.core.process import recorded_processes
from trajgen_assets.core.redact import Redactor
from trajgen_assets.core.rollout.causes import Cause
from trajgen_assets.core.rollout.docker import ask_docker
from trajgen_assets.core.rollout.patch import publish_patch
from trajgen_assets.core.rollout.reap import reap
from trajgen_assets.core.scripted.running import ScriptedModel

BASE_IMAGE = "trajgen/sample-base:1"
GOOD, BAD, THIRD, FOURTH = (f"acme__greeter-{number}" for number in range(1, 5))

Make = Callable[..., Job]


@pytest.fixture
def place(tmp_path: Path) -> Root:
    return Root(tmp_path / "root")


@pytest.fixture
def make(place: Root, stand_in: StandIn, model: ScriptedModel) -> Iterator[Make]:
    """Makes the job of these rows."""
    held: list[Any] = []

    def made(*rows: dict[str, Any], **openhands: Any) -> Job:
        configured(place, stand_in, model.base_url, rows, **openhands)
        held.append(claimed(place))
        job: Job = held[0].__enter__()
        return job

    yield made
    for each in held:
        each.__exit__(None, None, None)
    assert working_in(place) == []
    assert list(place.sandboxes.glob("*")) == []


def working_in(root: Root) -> list[int]:
    """Living processes that work in a worktree of the root."""
    words = {each.pid: " ".join(each.info["cmdline"] or []) for each in psutil.process_iter(["cmdline"])}
    return [pid for pid, said in words.items() if "run_infer" in said and str(root.path) in said]


def record_of(job: Job, task_id: str) -> HarnessRecord:
    (path,) = job.files.dir.glob(f"{task_id}__*/openhands.json")
    return HarnessRecord.model_validate_json(path.read_bytes())


def test_rows_that_are_no_finished_work_are_never_taken_for_it(make: Make) -> None:
    job = make(row(GOOD, goes="twice"), row(BAD, goes="crash"), row(THIRD, goes="torn"), row(FOURTH, goes="empty_id"))
    results = job.roll_out(n_concurrent=4)
    assert {task_id: (result.cause, result.reward) for task_id, result in results.items()} == {
        GOOD: (None, 1.0),
        BAD: (Cause.SANDBOX, None),
        THIRD: (Cause.HARNESS, None),
        FOURTH: (Cause.HARNESS, None),
    }
    assert "Maximum retries (3) reached" in (results[BAD].note or "")
    assert "its row was cut off" in (results[THIRD].note or "")
    assert "empty_id" in (results[FOURTH].note or "")
    assert [record_of(job, each).row_class for each in (GOOD, BAD, THIRD)] == ["finished", "retries_exceeded", None]


def test_work_at_its_limit_of_iterations_is_graded(make: Make) -> None:
    job = make(row(GOOD), max_iterations=2)
    result = job.roll_out()[GOOD]
    assert (result.cause, result.reward) == (None, 1.0)
    assert (result.note or "").startswith("IterationLimitError")


def test_a_report_without_a_test_that_ran_is_no_reward_and_not_a_0(make: Make) -> None:
    result = make(row(GOOD, graded="no_tests")).roll_out()[GOOD]
    assert (result.cause, result.reward) == (Cause.VERIFIER, None)
    assert "no_tests" in (result.note or "")


def test_without_an_evaluator_there_is_no_reward_and_its_own_cause(make: Make) -> None:
    job = make(row(GOOD), evaluator="none")
    result = job.roll_out()[GOOD]
    assert (result.cause, result.reward, result.raw_reward) == (Cause.UNGRADED, None, None)
    publish_patch(job.files, result.trial_name, Redactor({}))
    assert job.files.patch(result.trial_name).read_text().endswith("+hello\n")


def test_a_process_that_hangs_is_ended_by_our_own_limit(make: Make) -> None:
    result = make(row(GOOD, goes="hang"), timeout_s=2).roll_out()[GOOD]
    assert (result.cause, result.note) == (
        Cause.AGENT_BUDGET,
        "AgentTimeoutError: run_infer was ended after 2 s, and had written no row",
    )


def test_a_process_that_is_killed_is_told_by_its_signal_and_the_others_go_on(make: Make) -> None:
    job = make(row(GOOD, goes="hang"), row(BAD))
    with job.running() as run:
        follow(run, until=lambda: BAD in job.results())
        (hanging,) = recorded_processes(job.files.processes).values()
        os.killpg(hanging.pid, signal.SIGKILL)
        follow(run)
    results = job.results()
    assert (results[BAD].reward, results[GOOD].cause) == (1.0, Cause.HARNESS)
    assert "exit code -9" in (results[GOOD].note or "")


def test_each_process_has_its_own_configuration_which_no_one_else_can_read(make: Make, place: Root) -> None:
    job = make(row(GOOD, goes="hang"), row(BAD, goes="hang"))
    with job.running() as run:
        follow(run, until=lambda: job.events().count("model_answered") == 2)
        configs = list(place.sandboxes.glob("*/openhands/worktree-*/config.toml"))
        assert [stat.S_IMODE(path.stat().st_mode) for path in configs] == [0o600, 0o600]
        keys = {line for path in configs for line in path.read_text().splitlines() if line.startswith("api_key")}
        assert len(keys) == 2
        groups = {os.getpgid(each.pid) for each in recorded_processes(job.files.processes).values()}
        assert groups == {each.pid for each in recorded_processes(job.files.processes).values()}
    causes = {result.cause for result in job.results().values()}
    assert causes == {Cause.CANCELLED}  # what the end of the block did


def test_one_worktree_serves_one_trial_after_the_other(make: Make, place: Root) -> None:
    job = make(row(GOOD), row(BAD), row(THIRD))
    made: set[str] = set()

    def seen() -> bool:
        made.update(path.name for path in place.sandboxes.glob("*/openhands/worktree-*"))
        return False

    with job.running(n_concurrent=1) as run:
        follow(run, until=seen)
    assert made == {"worktree-1"}
    assert {result.reward for result in job.results().values()} == {1.0}


def test_a_job_that_is_asked_to_stop_begins_no_more_trials(make: Make) -> None:
    job = make(row(GOOD, goes="hang"), row(BAD), timeout_s=2)
    with job.running(n_concurrent=1) as run:
        follow(run, until=lambda: "model_answered" in job.events())
        job.files.stop.touch()
        follow(run)
    results = job.results()
    assert [results[each].cause for each in (GOOD, BAD)] == [Cause.AGENT_BUDGET, Cause.CANCELLED]
    assert "JobStoppedError" in (results[BAD].note or "")
    assert job.events().count("agent_started") == 1


@pytest.mark.parametrize(
    ("point", "reward"),
    [
        ("openhands_trial_begun", None),
        ("openhands_work_ended", 1.0),
        ("openhands_evaluated", 1.0),
        ("openhands_trial_finished", 1.0),
    ],
)
def test_a_driver_that_is_killed_loses_no_row(
    make: Make, place: Root, tmp_path: Path, point: str, reward: float | None
) -> None:
    job, points = make(row(GOOD)), Points(tmp_path / "points")
    points.arm(point)
    driver = drive_elsewhere(place, {**os.environ, **points.environ})
    os.kill(points.wait(point), signal.SIGKILL)
    driver.wait()
    reap(place, JOB, force=True)
    result = job.results().get(GOOD)
    assert (result.reward if result else None) == reward
    assert len(list(job.files.dir.glob("*/config.json"))) == 1


def test_a_driver_that_is_killed_amid_the_work_takes_its_processes_with_it(make: Make, place: Root) -> None:
    job = make(row(GOOD, goes="hang"))
    driver = drive_elsewhere(place, dict(os.environ))
    try:
        wait_until(lambda: "model_answered" in job.events(), limit_s=60)
    finally:
        driver.kill()
        driver.wait()
    reap(place, JOB, force=True)
    assert (job.results(), working_in(place)) == ({}, [])


@pytest.fixture
def containers() -> Iterator[Callable[[str], str]]:
    """Makes containers that look like those of the harness, of a session with this beginning."""
    made = []

    def make(session: str) -> str:
        name = f"{PREFIX}{session}-{secrets.token_hex(4)}"
        ask_docker("create", "--name", name, BASE_IMAGE, "true")
        made.append(name)
        return name

    yield make
    subprocess.run(["docker", "rm", "--force", *made], capture_output=True, check=False, timeout=60)


@needs_docker
def test_containers_go_that_a_trial_s_log_names_and_no_others(
    place: Root, containers: Callable[[str], str], tmp_path: Path
) -> None:
    earlier, files = containers("earlier"), place.job(JOB)
    trial = Trial("t__1", "t", tmp_path / "t", files, RunFolder(files.dir / "openhands" / "run"))
    begin(trial)
    ours, foreign = containers("ours"), containers("foreign")
    session = ours.removeprefix(PREFIX)
    trial.log.write_text(f"12:00:00 - openhands:INFO - [runtime {session}] Container started\nand {earlier} is named\n")
    assert remove_containers(files) == (ours,)
    assert {earlier, foreign} <= set(ask_docker("ps", "--all", "--format", "{{.Names}}").split())
