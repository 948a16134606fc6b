"""Jobs whose driver is gone, settled from disk: within a time, none waiting for another, each in its own words."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.configuration import config_text
from tests.waiting import wait_until
from trajgen_assets.core.config.load import load_config
from trajgen_assets.core.errors import BusyError
from trajgen_assets.core.intake.registration import register_source
from trajgen_assets.core.intake.task import ASSUMED_AGENT_TIMEOUT_S
from trajgen_assets.core.keys import MAIN_CAMPAIGN, TaskKey
from trajgen_assets.core.ledger.models import Batch, JobState, TaskStatus
from trajgen_assets.core.ledger.store import create_ledger, open_ledger
from trajgen_assets.core.paths import Root
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.process import ProcessId, record_processes
from trajgen_assets.core.rollout.job import run_job
from trajgen_assets.core.rollout.limits import max_runtime_s
from trajgen_assets.core.rollout.reap import is_reaped, start_reaper
from trajgen_assets.core.rollout.record import SilentListener
from trajgen_assets.core.rollout.recover import recover_lost_jobs
from trajgen_assets.core.rollout.slots import job_slot, live_holders
from trajgen_assets.core.rollout.trial_slots import this_host
from trajgen_assets.core.rollout.trials import AgentRecord, TrialsFile, load_trials, write_trials

DATASET = "py-cc"
LONG_S = 60.0


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    root = Root(tmp_path / "root")
    create_ledger(root)
    config = root.path / "config.yaml"
    config.write_text(config_text(tmp_path / DATASET, harbor_job={"environment": "local"}))
    for task_id in ("a", "b", "c"):
        for name, text in (
            ("task.toml", 'version = "1.0"\n'),
            ("instruction.md", f"Mend {task_id}.\n"),
            ("environment/Dockerfile", "FROM scratch\n"),
            ("tests/test.sh", "true\n"),
        ):
            path = tmp_path / DATASET / task_id / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    (tmp_path / DATASET / "verifiable_tasks.txt").write_text("a\nb\nc\n")
    with open_ledger(root) as ledger:
        made = Platform(root, load_config(config), ledger)
        for source in made.config.sources():
            register_source(ledger, source, MAIN_CAMPAIGN)
        yield made


def dead_job(platform: Platform, name: str, *task_ids: str, ttl_s: float = 600.0) -> None:
    """A job that was claimed, and whose driver died when the trials of `task_ids` had ended and were not recorded."""
    files = platform.root.job(name)
    platform.ledger.assign(name, Batch(MAIN_CAMPAIGN, DATASET, task_ids=task_ids))
    platform.ledger.claim(name, "gone", ttl_s=ttl_s)
    for folder in ("admitted", "journal", "trajectories", "ended"):
        (files.proxy / folder).mkdir(parents=True)
    agent = AgentRecord(name="terminus-2", version="1")
    header = TrialsFile(
        job=name, dataset=DATASET, campaign=MAIN_CAMPAIGN, scaffold="terminus-2", agent=agent, model="openai/m"
    )
    write_trials(files.trials, header)
    for task_id in task_ids:
        ended_trial(platform, name, task_id)


def ended_trial(platform: Platform, job: str, task_id: str) -> None:
    files, trial = platform.root.job(job), f"{task_id}__x"
    config = {"task": {"path": str(platform.root.tasks / DATASET / task_id)}}
    result = {
        "trial_name": trial,
        "config": config,
        "started_at": "2026-11-21T01:00:00Z",
        "finished_at": "2026-11-21T01:00:12Z",
        "verifier_result": {"rewards": {"reward": 1}},
    }
    lines = {
        "admitted": [{"call_id": "1"}],
        "journal": [{"event": "begin", "call_id": "1"}, {"event": "end", "call_id": "1", "ok": True}],
        "trajectories": [{"call_id": "1", "success": True, "client_disconnected": False, "usage": {}}],
    }
    files.trial(trial).mkdir(parents=True)
    (files.trial(trial) / "config.json").write_text(json.dumps(config))
    (files.trial(trial) / "result.json").write_text(json.dumps(result))
    for folder, values in lines.items():
        (files.proxy / folder / f"{trial}.jsonl").write_text("".join(json.dumps(value) + "\n" for value in values))


def status_of(platform: Platform, task_id: str) -> TaskStatus:
    return platform.ledger.task(TaskKey(MAIN_CAMPAIGN, DATASET, task_id)).status


def test_what_a_dead_job_finished_is_accepted_after_what_it_left_was_ended(platform: Platform) -> None:
    dead_job(platform, "dead", "a")
    left = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True)
    record_processes(platform.root.job("dead").processes, {"harbor": ProcessId.of(left.pid)})
    try:
        recovery = recover_lost_jobs(platform, budget_s=LONG_S)
        assert recovery.words == ["settled job dead: its driver had died"]
        assert left.poll() is not None
    finally:
        left.kill()
        left.communicate()
    assert status_of(platform, "a") is TaskStatus.DONE
    (attempt,) = platform.ledger.attempts(TaskKey(MAIN_CAMPAIGN, DATASET, "a"))
    assert (attempt.fence, attempt.accepted) == (2, True)
    assert recover_lost_jobs(platform).words == []


def test_a_job_that_cannot_be_settled_keeps_no_other_waiting(platform: Platform) -> None:
    dead_job(platform, "bad", "a")
    dead_job(platform, "good", "b")
    platform.root.job("bad").trials.write_text("{")
    recovery = recover_lost_jobs(platform, budget_s=LONG_S)
    assert recovery.settled == ["good"]
    assert "trials.json cannot be read" in recovery.unsettled["bad"]
    assert (status_of(platform, "a"), status_of(platform, "b")) == (TaskStatus.RUNNING, TaskStatus.DONE)
    platform.root.job("bad").trials.unlink()
    assert recover_lost_jobs(platform, budget_s=LONG_S).settled == ["bad"]
    assert status_of(platform, "a") is TaskStatus.PENDING


def test_a_job_whose_leftovers_cannot_be_ended_gives_no_task_back(platform: Platform) -> None:
    dead_job(platform, "stuck", "a")
    platform.root.job("stuck").processes.write_text("{")
    recovery = recover_lost_jobs(platform, budget_s=LONG_S)
    assert "what the job left running cannot be ended" in recovery.unsettled["stuck"]
    assert "trajgen reap --force stuck" in recovery.unsettled["stuck"]
    assert platform.ledger.job("stuck").state is JobState.RUNNING
    assert status_of(platform, "a") is TaskStatus.RUNNING


def test_what_is_not_settled_in_time_is_settled_by_the_next_call(platform: Platform) -> None:
    dead_job(platform, "long", "a", "b", "c")
    start_reaper(platform.root, "long").wait(60)
    assert is_reaped(platform.root, "long")
    recovery = recover_lost_jobs(platform, budget_s=0.0)
    assert recovery.words == ["job long is not settled yet: time was up; the next tick goes on"]
    assert platform.ledger.job("long").state is JobState.RUNNING
    assert platform.ledger.check_balance().running == 3
    assert not platform.root.index.exists()
    assert recover_lost_jobs(platform, budget_s=LONG_S).settled == ["long"]
    assert platform.ledger.check_balance().done == 3
    assert len(load_trials(platform.root.job("long").trials).trials) == 3


def test_while_a_reaper_is_at_work_no_second_one_is_started(platform: Platform) -> None:
    dead_job(platform, "slow", "a")
    reaper = start_reaper(platform.root, "slow")
    with pytest.raises(BusyError, match="just being ended"):
        start_reaper(platform.root, "slow")
    assert reaper.wait(60) == 0
    wait_until(lambda: is_reaped(platform.root, "slow"))


def test_a_job_that_something_holds_beyond_its_lease_is_settled_and_one_within_it_is_not(platform: Platform) -> None:
    dead_job(platform, "hung", "a", ttl_s=0.0)
    dead_job(platform, "working", "b")
    with job_slot(platform.root.locks, 2, holder="hung"), job_slot(platform.root.locks, 2, holder="working"):
        recovery = recover_lost_jobs(platform, budget_s=LONG_S)
        assert live_holders(platform.root.locks) == {"hung", "working"}
    assert recovery.settled == ["hung"]
    assert (status_of(platform, "a"), status_of(platform, "b")) == (TaskStatus.DONE, TaskStatus.RUNNING)


def test_the_time_that_a_hung_job_stood_still_is_not_held_against_its_agent(platform: Platform) -> None:
    for name, task_id, ttl_s in (("hung", "a", 0.0), ("dead", "b", 600.0)):
        dead_job(platform, name, task_id, ttl_s=ttl_s)
        path = platform.root.job(name).trial(f"{task_id}__x") / "result.json"
        timed_out = {"exception_type": "AgentTimeoutError", "exception_message": "timed out"}
        path.write_text(
            json.dumps(json.loads(path.read_text()) | {"verifier_result": None, "exception_info": timed_out})
        )
    with job_slot(platform.root.locks, 1, holder="hung"):
        assert sorted(recover_lost_jobs(platform, budget_s=LONG_S).settled) == ["dead", "hung"]
    causes = {
        key.task_id: attempt.cause for job in ("hung", "dead") for key, attempt in platform.ledger.job_attempts(job)
    }
    assert causes == {"a": "stalled", "b": "agent_budget"}


def test_two_that_recover_at_once_do_not_get_in_each_other_s_way(platform: Platform) -> None:
    dead_job(platform, "dead", "a")
    code = (
        "import fcntl, sys\n"
        "lock = open(sys.argv[1], 'w'); fcntl.flock(lock, fcntl.LOCK_EX); print(flush=True); input()\n"
    )
    platform.root.locks.mkdir(exist_ok=True)
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(platform.root.locks / "recovery")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout is not None
    other.stdout.readline()
    assert recover_lost_jobs(platform).words == []
    other.communicate("\n")
    assert recover_lost_jobs(platform, budget_s=LONG_S).settled == ["dead"]


def test_a_run_that_is_retried_after_its_worker_died_leaves_the_job_to_recovery(platform: Platform) -> None:
    dead_job(platform, "dead", "a", ttl_s=0.0)
    platform.ledger.acquire_slots(this_host(), "dead", want=1, max_trials=8)
    with pytest.raises(BusyError, match="does not wait to be begun"):
        run_job(platform, "dead", owner="retry", listener=SilentListener())
    assert not platform.root.index.exists()
    assert (platform.ledger.job("dead").owner, platform.ledger.slots_in_use(this_host())) == ("gone", 1)


def test_how_long_a_job_may_take_follows_from_the_limits_in_its_tasks_folders(platform: Platform) -> None:
    job = platform.ledger.assign("one", Batch(MAIN_CAMPAIGN, DATASET, task_ids=["a"]))
    assert job is not None
    assumed_s = max_runtime_s(platform, job)
    task_toml = platform.config.source(DATASET).folder / "a" / "task.toml"
    task_toml.write_text('version = "1.0"\n[agent]\ntimeout_sec = 60.0\n')
    assert assumed_s - max_runtime_s(platform, job) == 2 * 2 * (ASSUMED_AGENT_TIMEOUT_S - 60)
    shutil.rmtree(task_toml.parent)
    assert max_runtime_s(platform, job) == assumed_s
