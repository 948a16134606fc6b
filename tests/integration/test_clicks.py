"""A click over several data sets is one run with a job of each: one that fails takes no other with it."""

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import dagster as dg
import pytest

from resources.instance import open_instance, prepare_instance
from resources.platform import PlatformResource
from tests.configuration import config_text
from tests.unit.intake.conftest import write_task
from trajgen_assets.core.intake.registration import register_source
from trajgen_assets.core.keys import MAIN_CAMPAIGN
from trajgen_assets.core.ledger.models import AskedBy, JobRow, JobState
from trajgen_assets.core.ledger.store import create_ledger, open_ledger
from trajgen_assets.core.paths import Root
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.rollout.batch import assign_batch
from trajgen_assets.core.rollout.slots import job_slot
from trajgen_assets.core.rollout.trial_slots import this_host
from trajgen_assets.definitions import defs
from trajgen_assets.dispatch import due_requests
from trajgen_assets.launches import RANGE_END_TAG, RANGE_START_TAG, run_config
from trajgen_assets.names import ROLLOUT_JOB, ROLLOUT_OP
from trajgen_assets.partitions import show_new_partitions

# Nothing listens at port 9, so every job that begins is refused, which takes no environment and no time.
LARGE, SMALL = "data-a", "data-b"


class Clicks:
    """Two data sets of two tasks each, and what a person clicks on."""

    def __init__(self, platform: Platform, instance: dg.DagsterInstance) -> None:
        self.platform = platform
        self.instance = instance

    def click(self, *, wait: bool = False, force: bool = False) -> dg.ExecuteInProcessResult:
        """Two tasks of one data set, and the first of the other."""
        tags = {RANGE_START_TAG: f"{LARGE}/t-0", RANGE_END_TAG: f"{SMALL}/t-0"}
        return self.execute(tags=tags, run_config=run_config(ROLLOUT_OP, wait=wait, force=force))

    def execute(self, **arguments: object) -> dg.ExecuteInProcessResult:
        job = defs().resolve_job_def(ROLLOUT_JOB)
        return job.execute_in_process(instance=self.instance, raise_on_error=False, **arguments)  # type: ignore[arg-type]

    def jobs(self) -> dict[str, JobRow]:
        return {job.dataset: job for job in self.platform.ledger.jobs()}

    def fill_job_slots(self) -> ExitStack:
        held = ExitStack()
        for _ in range(2):
            held.enter_context(job_slot(self.platform.root.locks, 2, holder="another job"))
        return held


@pytest.fixture
def clicks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clicks]:
    root, config = Root(tmp_path / "root"), tmp_path / "config.yaml"
    automation = {"enabled": False, "max_jobs": 2, "max_trials": 8}
    config.write_text(config_text(tmp_path / "tasks", harbor_job={"environment": "local"}, automation=automation))
    for dataset in (LARGE, SMALL):
        for task_id in ("t-0", "t-1"):
            write_task(tmp_path / "tasks" / dataset / task_id, instruction=f"Mend {task_id} of {dataset}.\n")
        (tmp_path / "tasks" / dataset / "verifiable_tasks.txt").write_text("t-0\nt-1\n")
    monkeypatch.setenv("TRAJGEN_ROOT", str(root.path))
    monkeypatch.setenv("TRAJGEN_CONFIG", str(config))
    create_ledger(root)
    prepare_instance(root, max_jobs=2)
    platform = PlatformResource().open()
    with platform.ledger, open_instance(root) as instance:
        for source in platform.config.sources():
            register_source(platform.ledger, source, MAIN_CAMPAIGN)
        show_new_partitions(instance, platform.ledger)
        yield Clicks(platform, instance)


def failure(result: dg.ExecuteInProcessResult) -> str:
    (event,) = [each for each in result.all_events if each.is_step_failure]
    data = event.step_failure_data.user_failure_data
    assert data is not None
    return data.description or ""


def test_a_job_that_is_refused_leaves_the_next_one_its_turn(clicks: Clicks) -> None:
    text = failure(clicks.click())
    jobs = clicks.jobs()
    assert {dataset: job.state for dataset, job in jobs.items()} == dict.fromkeys((LARGE, SMALL), JobState.REFUSED)
    for job in jobs.values():
        assert "out of reach" in (job.note or "")
        assert f"job {job.name}: " in text


def test_a_job_without_room_is_left_to_the_sensor_and_one_with_room_has_its_turn(clicks: Clicks) -> None:
    ledger = clicks.platform.ledger
    other = assign_batch(clicks.platform, MAIN_CAMPAIGN, SMALL, asked_by=AskedBy.START, task_ids=["t-1"]).job
    assert other is not None
    ledger.claim(other.name, "another run", ttl_s=600)
    ledger.acquire_slots(this_host(), other.name, want=7, max_trials=8)
    text = failure(clicks.click())
    jobs = {job.dataset: job for job in ledger.jobs() if job.name != other.name}
    assert (jobs[LARGE].state, jobs[LARGE].launch) == (JobState.ASSIGNED, 2)
    assert (jobs[SMALL].state, "out of reach" in (jobs[SMALL].note or "")) == (JobState.REFUSED, True)
    assert text.count("The sensor launches it when there is room.") == 1

    ledger.acquire_slots(this_host(), other.name, want=6, max_trials=8)
    requests = list(due_requests(clicks.instance, clicks.platform, []))
    assert [request.tags["trajgen/job"] for request in requests] == [jobs[LARGE].name]


def test_a_job_of_the_sensor_without_room_is_said_to_be_in_the_hands_of_the_next_tick(clicks: Clicks) -> None:
    job = assign_batch(clicks.platform, MAIN_CAMPAIGN, LARGE, asked_by=AskedBy.SENSOR, limit=2).job
    assert job is not None
    with clicks.fill_job_slots():
        result = clicks.execute(partition_key=f"{LARGE}/t-0", run_config=run_config(ROLLOUT_OP, job=job.name))
    assert "The next tick launches it again, or gives its tasks back." in failure(result)
    assert clicks.platform.ledger.job(job.name).launch == 2


def test_nothing_is_promised_for_a_job_that_has_begun_elsewhere(clicks: Clicks) -> None:
    job = assign_batch(clicks.platform, MAIN_CAMPAIGN, LARGE, asked_by=AskedBy.CLICK, limit=2).job
    assert job is not None
    clicks.platform.ledger.claim(job.name, "another run", ttl_s=60)
    text = failure(clicks.execute(partition_key=f"{LARGE}/t-0", run_config=run_config(ROLLOUT_OP, job=job.name)))
    assert "does not wait to be begun" in text
    assert "launches it" not in text
    assert clicks.platform.ledger.job(job.name).owner == "another run"


def interrupt_when_assigned(root: Root, n_jobs: int) -> None:
    with open_ledger(root) as ledger:
        while sum(job.requested_at is not None for job in ledger.jobs()) < n_jobs:
            time.sleep(0.05)
    time.sleep(0.5)  # the first of them waits for a slot now
    os.kill(os.getpid(), signal.SIGINT)


def test_an_interrupt_gives_back_what_has_not_begun(clicks: Clicks) -> None:
    interrupter = threading.Thread(target=interrupt_when_assigned, args=(clicks.platform.root, 2), daemon=True)
    with clicks.fill_job_slots():
        interrupter.start()
        assert not clicks.click(wait=True).success
        interrupter.join(30)
    ended = {(job.state, job.note) for job in clicks.jobs().values()}
    assert ended == {(JobState.REFUSED, "its run ended before it was claimed")}
    assert clicks.platform.ledger.counts().assignable == 4


def test_a_click_into_a_pause_begins_nothing_says_who_paused_and_leaves_the_other_data_set_its_turn(
    clicks: Clicks,
) -> None:
    clicks.platform.ledger.pause(LARGE, "ann", "new keys")
    text = failure(clicks.click())
    jobs = clicks.jobs()
    assert f"job {jobs[LARGE].name}: launches of {LARGE} are paused by ann since " in text
    assert "new keys" in text
    assert "out of reach" in (jobs[SMALL].note or "")
    assert clicks.platform.ledger.counts(MAIN_CAMPAIGN, LARGE).assignable == 2


def test_a_forced_click_into_a_pause_leaves_the_other_data_set_its_turn(clicks: Clicks) -> None:
    clicks.platform.ledger.pause(LARGE, "ann", "new keys")
    with closing(socket.create_server(("127.0.0.1", 0))) as listener, clicks.fill_job_slots():
        config = clicks.platform.config.path
        config.write_text(config.read_text().replace(":9/", f":{listener.getsockname()[1]}/"))
        text = failure(clicks.click(force=True))
    assert text.count("nothing was taken back: launches of data-a are paused by ann") == 2
    assert {dataset: job.state for dataset, job in clicks.jobs().items()} == {SMALL: JobState.ASSIGNED}


@pytest.mark.parametrize("dataset", ["", LARGE])
def test_the_web_ui_pauses_and_resumes_by_a_job_of_its_own_even_with_a_broken_configuration(
    clicks: Clicks, dataset: str
) -> None:
    clicks.platform.config.path.write_text("runtime_info: [")
    ledger = clicks.platform.ledger
    config = {"pause": {"config": {"dataset": dataset, "reason": "the endpoint is dear by day"}}}
    launched = defs().resolve_job_def("pause_rollouts")
    assert launched.execute_in_process(run_config={"ops": config}, instance=clicks.instance).success
    (pause,) = ledger.pauses()
    assert (pause.dataset, pause.paused_by, pause.reason) == (dataset, "the web UI", "the endpoint is dear by day")
    assert defs().resolve_job_def("resume_rollouts").execute_in_process(instance=clicks.instance).success
    assert ledger.pauses() == []
