"""The stack of deploy/compose on a real engine: who gets in, runs in their containers, deaths, and the end of it.

The tests share one stack and keep their order: each begins where the last has left it.
"""

import os
from collections.abc import Iterator

import psutil
import pytest

from tests.deploy.stack import (
    CANCEL,
    DOWN_S,
    KEY,
    PATIENCE_S,
    UP_S,
    Stack,
    containers_of,
    deployed,
    docker,
    in_engine,
    inspected,
)
from tests.docker import needs_docker
from tests.e2e.conftest import SOLVED, UNSOLVED, files_with
from tests.waiting import wait_until
from trajgen_assets.core.scripted import ScriptedModel, running_scripted_model
from trajgen_assets.names import ROLLOUT_JOB

pytestmark = [
    pytest.mark.deploy,
    pytest.mark.timeout(1800),
    needs_docker,
    pytest.mark.skipif(os.geteuid() != 0, reason="the folders of the platform's user are looked into"),
]

HEALTH = "{ instance { daemonHealth { allDaemonStatuses { daemonType healthy lastHeartbeatErrors { message } } } } }"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with deployed(tmp_path_factory.mktemp("deploy")) as stack:
        yield stack


@pytest.fixture(scope="module")
def model() -> Iterator[ScriptedModel]:
    """Slow enough that a job is met at work."""
    with running_scripted_model(api_key=KEY, latency_s=3.0) as model:
        yield model


def jobs_at_work(stack: Stack) -> dict[str, str]:
    """The jobs whose runs have a container, with that container."""
    containers = stack.run_containers()
    return {
        run["tags"]["trajgen/job"]: containers[run["runId"]]
        for run in stack.runs()
        if run["jobName"] == ROLLOUT_JOB and run["runId"] in containers and run["status"] == "STARTED"
    }


def test_the_web_ui_answers_behind_a_login_and_to_its_own_pages_alone(stack: Stack) -> None:
    assert stack.ask(login=None).status_code == 401
    assert stack.ask(login=("operator", "wrong")).status_code == 401
    assert stack.ask("/server_info", login=stack.login).status_code == 200
    foreign = {"login": stack.login, "post": {"query": HEALTH}}
    assert stack.ask("/graphql", origin="https://evil.example", **foreign).status_code == 403
    assert stack.ask("/graphql", origin="https://localhost", **foreign).status_code == 403  # another port
    wait_until(lambda: daemons_are_healthy(stack), limit_s=PATIENCE_S)


def test_two_jobs_run_at_once_each_in_a_container_with_limits_and_one_that_is_killed_finishes(
    stack: Stack, model: ScriptedModel
) -> None:
    stack.configure(model.base_url, automation=True)
    wait_until(lambda: all(map(containers_of, jobs := jobs_at_work(stack))) and len(jobs) == 2, limit_s=PATIENCE_S)
    jobs = jobs_at_work(stack)
    for container in jobs.values():
        limits = inspected(container)["HostConfig"]
        assert (limits["Memory"], limits["NanoCpus"]) == (2 << 30, 1_000_000_000)
    assert not list((stack.home / "artifacts").rglob("*.sqlite")), "ledger and instance are on Postgres"
    killed = min(jobs)
    docker("kill", jobs[killed])

    wait_until(lambda: {row["status"] for row in stack.tasks().values()} == {"done"}, limit_s=PATIENCE_S)
    tasks = stack.tasks()
    assert {name: row["reward"] for name, row in tasks.items()} == {**dict.fromkeys(SOLVED, 1.0), UNSOLVED: 0.0}
    assert containers_of(killed) == []
    assert files_with(KEY, stack.home / "artifacts") == []


def test_a_click_whose_container_is_killed_finishes_in_the_same_run_and_is_not_forced_twice(
    stack: Stack, model: ScriptedModel
) -> None:
    stack.configure(model.base_url, automation=False)
    n_before = stack.tasks()[SOLVED[0]]["n_attempts"]
    run = stack.click(f"py-cc/{SOLVED[0]}")
    job = at_a_trial_of(stack, run)
    docker("kill", stack.run_containers()[run])
    wait_until(lambda: stack.status(run) == "SUCCESS", limit_s=PATIENCE_S)
    row = stack.tasks()[SOLVED[0]]
    assert (row["status"], row["reward"], row["n_attempts"] - n_before) == ("done", 1.0, 2)  # one cancelled, one done
    assert containers_of(job) == []


def test_the_web_ui_ends_a_run_though_its_process_cannot_ask_the_engine(stack: Stack) -> None:
    assert docker("exec", f"{stack.name}-webserver-1", "ls", "/var/run").split().count("docker.sock") == 0
    run = stack.click(f"py-cc/{SOLVED[1]}")
    job = at_a_trial_of(stack, run)
    assert stack.graphql(CANCEL, run=run)["terminateRun"]["__typename"] == "TerminateRunSuccess"
    wait_until(lambda: stack.status(run) == "CANCELED", limit_s=PATIENCE_S)
    assert containers_of(job) == []
    assert stack.tasks()[SOLVED[1]]["status"] == "pending"


def test_down_in_mid_job_leaves_nothing_but_the_data_and_up_goes_on_with_them(stack: Stack) -> None:
    run = stack.click(f"py-cc/{SOLVED[2]}")
    job = at_a_trial_of(stack, run)
    said = stack.make("down", timeout_s=DOWN_S)
    assert f"its data stay in {stack.home}" in said
    assert (
        in_engine({"trajgen.deployment": stack.name, "com.docker.compose.project": stack.name, "trajgen.job": job})
        == []
    )
    assert processes_of(stack) == []

    stack.make("up", timeout_s=UP_S)
    stands = {name: row["status"] for name, row in stack.tasks().items()}
    assert stands == {SOLVED[0]: "done", SOLVED[1]: "pending", SOLVED[2]: "pending", UNSOLVED: "done"}
    assert stack.status(run) == "CANCELED"


def daemons_are_healthy(stack: Stack) -> bool:
    statuses = stack.graphql(HEALTH)["instance"]["daemonHealth"]["allDaemonStatuses"]
    return all(each["healthy"] and not each["lastHeartbeatErrors"] for each in statuses)


def at_a_trial_of(stack: Stack, run: str) -> str:
    """Wait until the run, which is the only one, has a trial in the engine. Returns its job."""
    wait_until(lambda: run in stack.run_containers() and bool(stack.jobs_in_engine()), limit_s=PATIENCE_S)
    (job,) = stack.jobs_in_engine()
    return job


def processes_of(stack: Stack) -> list[str]:
    """Command lines of processes on this machine, in whatever container, that name the data folder."""
    lines = [" ".join(each.info["cmdline"] or []) for each in psutil.process_iter(["cmdline"])]
    return [line for line in lines if str(stack.home) in line]
