"""Which runs a tick asks for: what lost its run, what a person clicked on, a probe after a pause, no more than fit."""

import json
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from tests.configuration import config_text
from tests.integration.host_in_time import DATA_SET, Host, host_with
from trajgen_assets.core.config import parse_config
from trajgen_assets.core.config.budget import BudgetChoice, LimitChoice
from trajgen_assets.core.ledger.models import AskedBy, BreakerState, JobRow, JobState
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.report.alarms import standing_alarms
from trajgen_assets.core.report.alerts import raise_alerts, read_alerts
from trajgen_assets.core.rollout.batch import assign_batch
from trajgen_assets.core.rollout.trial_slots import this_host
from trajgen_assets.dispatch import due_requests
from trajgen_assets.launches import KUBERNETES_TAG, RUN_KEY_TAG, command_of, run_key, this_process

TASK_IDS = [f"t-{n}" for n in range(12)]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with host_with(tmp_path, TASK_IDS, batch_max=4, max_trials=8, max_jobs=3) as made:
        yield made


def asked(host: Host) -> tuple[list[str], str]:
    """The jobs that a tick asks runs for, and its words."""
    words: list[str] = []
    requests = list(due_requests(host.instance, host.platform, words))
    return [request.tags["trajgen/job"] for request in requests], "; ".join(words)


def excluding(host: Host, *task_ids: str) -> Host:
    """The same host, where a person retired these tasks."""
    (host.platform.config.path.parent / "excluded_tasks.txt").write_text("".join(f"{each}\n" for each in task_ids))
    return host


def switched_off(host: Host) -> Host:
    path = host.platform.config.path
    config = parse_config(config_text(path.parent.parent / DATA_SET, automation={"enabled": False}), path)
    platform = Platform(host.platform.root, config, host.platform.ledger)
    return Host(platform, host.instance, host.clock)


def job_by(host: Host, asked_by: AskedBy) -> JobRow:
    job = assign_batch(host.platform, "main", DATA_SET, asked_by=asked_by, limit=2).job
    assert job is not None
    return job


def run_of(host: Host, job: JobRow, status: dg.DagsterRunStatus) -> None:
    """A run of this launch as Dagster has it."""
    from trajgen_assets.definitions import defs

    rollout_job = defs().resolve_job_def("rollout_job")
    host.instance.create_run_for_job(rollout_job, tags={RUN_KEY_TAG: run_key(job)}, status=status)


def test_no_more_runs_are_asked_for_than_could_begin(host: Host) -> None:
    jobs, words = asked(host)
    assert len(jobs) == 2  # of four tasks each: that is every trial slot
    assert "0 of 8 trial slots are free" in words
    assert asked(host)[0] == []


def test_a_launcher_on_this_host_is_told_of_no_pod(host: Host) -> None:
    request, *_ = due_requests(host.instance, host.platform, [])
    assert KUBERNETES_TAG not in request.tags


def test_a_tail_makes_room_for_the_next_batch(host: Host) -> None:
    first, _ = asked(host)[0]
    ledger = host.platform.ledger
    ledger.acquire_slots(this_host(), first, want=1, max_trials=8)
    ledger.claim(first, "run", ttl_s=60)
    jobs, words = asked(host)
    assert (len(jobs), "4 tasks are requested" in words) == (1, True)


def test_a_job_whose_run_was_cancelled_in_the_queue_gives_its_tasks_back(host: Host) -> None:
    host = switched_off(host)
    job = job_by(host, AskedBy.SENSOR)
    host.platform.ledger.mark_requested(job.name, job.launch)
    run_of(host, job, dg.DagsterRunStatus.CANCELED)
    jobs, words = asked(host)
    assert (jobs, f"job {job.name} is given up" in words) == ([], True)
    ended = host.platform.ledger.job(job.name)
    assert (ended.state, ended.note) == (JobState.REFUSED, "its run was cancelled before it began")
    assert host.platform.ledger.counts().assignable == len(TASK_IDS)


def test_a_run_that_failed_before_it_claimed_is_launched_again_under_a_new_key(host: Host) -> None:
    (name, *_), _ = asked(host)
    job = host.platform.ledger.job(name)
    run_of(host, job, dg.DagsterRunStatus.FAILURE)
    again, words = asked(host)
    assert again == [name]
    assert "launch 2" in words


def test_what_a_person_clicked_on_is_launched_when_there_is_room_though_automation_is_off(host: Host) -> None:
    host = switched_off(host)
    job = job_by(host, AskedBy.CLICK)
    host.platform.ledger.return_job(job.name, "its run found no slot")
    assert asked(host)[0] == [job.name]


def test_what_the_sensor_had_assigned_is_given_up_once_automation_is_off(host: Host) -> None:
    host = switched_off(host)
    job = job_by(host, AskedBy.SENSOR)
    host.platform.ledger.return_job(job.name, "its run found no slot")
    jobs, words = asked(host)
    assert (jobs, "its run is lost, and automation is off" in words) == ([], True)
    assert host.platform.ledger.counts().assignable == len(TASK_IDS)


def test_a_job_of_a_command_that_is_gone_gives_its_tasks_back(host: Host) -> None:
    host = switched_off(host)
    job = job_by(host, AskedBy.START)
    host.platform.ledger.mark_requested(job.name, job.launch, "no-such-run")
    assert host.platform.ledger.counts().assigned == 2
    asked(host)
    assert host.platform.ledger.counts().assigned == 2
    host.clock.set(600)
    asked(host)
    assert host.platform.ledger.counts().assigned == 0


def test_a_command_is_looked_for_only_where_its_process_id_means_the_same() -> None:
    space, pid, started_at = this_process().split()
    found = command_of(this_process())
    assert found is not None
    assert found.find() is not None
    for elsewhere in (f"{space}0", "another-host/1", space.partition("/")[0]):
        assert command_of(f"{elsewhere} {pid} {started_at}") is None
    assert command_of("run-1") is None


def test_after_a_pause_one_task_goes_to_see_whether_it_is_over(host: Host) -> None:
    ledger = host.platform.ledger
    ledger.trip(DATA_SET, "model_provider")
    jobs, words = asked(host)
    assert (jobs, "paused until 00:01:00 UTC after failures of the model_provider" in words) == ([], True)
    host.clock.set(61)
    (probe,), words = asked(host)
    assert ledger.job(probe).n_tasks == 1
    assert "one task goes to see" in words
    assert asked(host)[0] == []
    ledger.clear(DATA_SET)
    assert ledger.breaker_state(DATA_SET).state is BreakerState.CLOSED
    assert len(asked(host)[0]) == 2


def test_slots_of_a_run_that_was_killed_before_it_claimed_hold_up_nothing(host: Host) -> None:
    (name, *_), _ = asked(host)
    ledger = host.platform.ledger
    job = ledger.job(name)
    run_of(host, job, dg.DagsterRunStatus.FAILURE)
    ledger.acquire_slots(this_host(), name, want=4, max_trials=8)
    assert asked(host)[0] == [name]
    assert ledger.slots_in_use(this_host()) == 0


def test_a_batch_of_the_sensor_that_lost_its_run_in_a_pause_is_given_up_for_a_probe(host: Host) -> None:
    (name, *_), _ = asked(host)
    ledger = host.platform.ledger
    run_of(host, ledger.job(name), dg.DagsterRunStatus.FAILURE)
    ledger.trip(DATA_SET, "sandbox")
    host.clock.set(61)
    jobs, words = asked(host)
    assert f"job {name} is given up (launches are paused)" in words
    assert [ledger.job(each).n_tasks for each in jobs] == [1]


def test_a_list_of_exclusions_that_cannot_be_read_stops_no_tick(host: Host) -> None:
    inputs = host.platform.config.runtime_info.input
    broken = inputs.model_copy(update={"env_extra": {"HARBOR_EXCLUDE_TASKS": "lists/gone.txt"}})
    runtime = host.platform.config.runtime_info.model_copy(update={"input": broken})
    config = host.platform.config.model_copy(update={"runtime_info": runtime})
    jobs, words = asked(Host(Platform(host.platform.root, config, host.platform.ledger), host.instance, host.clock))
    assert jobs == []
    assert "a list of excluded tasks cannot be read" in words


def test_what_is_excluded_does_not_make_a_batch_full(tmp_path: Path) -> None:
    with host_with(tmp_path, TASK_IDS, batch_min=4, batch_max=4, wait_s=300) as host:
        excluding(host, *TASK_IDS[3:])
        assert asked(host) == ([], "d: 3 tasks wait for a batch of 4")
        excluding(host, *TASK_IDS[4:])
        ((name,), _) = asked(host)
        assert [row.task_id for row in host.platform.ledger.tasks_of_job(name)] == TASK_IDS[:4]


def test_no_probe_goes_where_all_that_is_left_is_excluded(host: Host) -> None:
    ledger = host.platform.ledger
    ledger.trip(DATA_SET, "model_provider")
    host.clock.set(61)
    assert asked(excluding(host, *TASK_IDS)) == ([], "")
    assert ledger.breaker_state(DATA_SET).state is BreakerState.OPEN
    jobs, _ = asked(excluding(host, *TASK_IDS[1:]))
    assert [row.task_id for row in ledger.tasks_of_job(jobs[0])] == TASK_IDS[:1]


def test_a_small_batch_goes_out_when_its_first_task_has_waited_long_enough(tmp_path: Path) -> None:
    with host_with(tmp_path, TASK_IDS[:2], batch_min=4, wait_s=300) as host:
        host.clock.set(299)
        assert asked(host)[0] == []
        host.clock.set(300)
        assert len(asked(host)[0]) == 1


def test_no_more_tasks_are_assigned_on_a_day_than_its_cap_and_refused_jobs_cost_nothing(tmp_path: Path) -> None:
    with host_with(tmp_path, TASK_IDS, batch_max=4, max_jobs=9, max_trials=99, max_tasks_per_day=6) as host:
        ledger = host.platform.ledger
        jobs, words = asked(host)
        assert [ledger.job(name).n_tasks for name in jobs] == [4, 2]
        assert "automation.max_tasks_per_day is reached" in words
        ledger.withdraw(jobs[0], "the endpoint is out of reach")
        jobs, _ = asked(host)
        assert [ledger.job(name).n_tasks for name in jobs] == [4]
        host.clock.set(24 * 3600)
        job_by_click = job_by(host, AskedBy.CLICK)
        assert ledger.n_assigned_since("main", host.clock.at) == job_by_click.n_tasks


def clicked(host: Host, *sizes: int) -> list[JobRow]:
    """Jobs that one run of a click holds, and begins one after another."""
    from trajgen_assets.definitions import defs

    run = host.instance.create_run_for_job(defs().resolve_job_def("rollout_job"), status=dg.DagsterRunStatus.STARTED)
    made = []
    for n in sizes:
        job = assign_batch(host.platform, "main", DATA_SET, asked_by=AskedBy.CLICK, limit=n).job
        assert job is not None
        host.platform.ledger.mark_requested(job.name, job.launch, run.run_id)
        made.append(job)
    return made


def test_of_the_jobs_that_one_run_holds_one_takes_room(host: Host) -> None:
    clicked(host, 1, 4, 1)
    jobs, words = asked(host)  # of three job slots the run takes one, and of eight trial slots four
    assert len(jobs) == 1
    assert "0 of 8 trial slots are free" in words


def test_jobs_that_wait_behind_a_running_one_of_their_run_take_no_room(host: Host) -> None:
    first, _, _ = clicked(host, 4, 4, 1)
    ledger = host.platform.ledger
    run_id = ledger.job(first.name).run_id
    assert run_id is not None
    ledger.acquire_slots(this_host(), first.name, want=4, max_trials=8)
    ledger.claim(first.name, run_id, ttl_s=60)
    assert [ledger.job(name).n_tasks for name in asked(host)[0]] == [3]


def test_a_person_s_pause_holds_new_batches_and_gives_back_those_of_the_sensor_and_says_who(host: Host) -> None:
    ledger = host.platform.ledger
    lost = job_by(host, AskedBy.SENSOR)
    clicked = job_by(host, AskedBy.CLICK)
    for job in (lost, clicked):
        ledger.return_job(job.name, "its run found no slot")
    ledger.pause(DATA_SET, "ann", "new keys")
    jobs, words = asked(host)
    assert jobs == []
    assert f"job {clicked.name} waits: launches of {DATA_SET} are paused by ann" in words
    assert f"{DATA_SET}: launches of {DATA_SET} are paused by ann" in words
    assert ledger.job(lost.name).state is JobState.REFUSED
    ledger.resume("")
    assert clicked.name in asked(host)[0]


def test_below_the_disk_mark_no_run_is_asked_for_and_one_alert_says_so(host: Host) -> None:
    config = host.platform.config
    inputs = config.runtime_info.input
    full = inputs.harbor_job.model_copy(update={"min_free_gb": 1e9})
    info = config.runtime_info.model_copy(update={"input": inputs.model_copy(update={"harbor_job": full})})
    platform = Platform(host.platform.root, config.model_copy(update={"runtime_info": info}), host.platform.ledger)
    on_full_disk = Host(platform, host.instance, host.clock)
    for _ in range(2):
        jobs, words = asked(on_full_disk)
        assert (jobs, "fewer than harbor_job.min_free_gb" in words) == ([], True)
        raise_alerts(platform.root, standing_alarms(platform))
    assert [each.kind for each in read_alerts(platform.root)] == ["disk"]
    assert asked(host)[0]


def test_once_the_day_s_budget_is_used_up_no_run_is_asked_for_until_the_next_and_one_alert_says_so(host: Host) -> None:
    config, root, ledger = host.platform.config, host.platform.root, host.platform.ledger
    inputs = config.runtime_info.input
    limited = inputs.model_copy(update={"budget": BudgetChoice(day=LimitChoice(tokens=1000))})
    info = config.runtime_info.model_copy(update={"input": limited})
    platform = Platform(root, config.model_copy(update={"runtime_info": info}), ledger)
    thrifty = Host(platform, host.instance, host.clock)
    root.spend.mkdir()
    file = root.spend / f"{ledger.now():%Y-%m-%d}.jsonl"
    file.write_text(json.dumps({"trial": "t", "tokens": 1000, "cost_usd": 0}) + "\n")
    for _ in range(2):
        jobs, words = asked(thrifty)
        assert (jobs, "the day's budget of 1,000 tokens is used up" in words) == ([], True)
        raise_alerts(root, standing_alarms(platform))
    assert [each.kind for each in read_alerts(root)] == ["budget"]
    host.clock.set(86400)
    assert asked(thrifty)[0]
