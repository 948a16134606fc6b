"""The commands as a user types them: what they refuse, what they leave behind, and what an interrupt costs."""

import json
import os
import shutil
import signal
import time
from pathlib import Path

import dagster as dg
import pytest

from resources.instance import open_instance
from tests.e2e.conftest import KEY_ENV, SECRET, SOLVED, TASKS, UNSOLVED, Installation, files_with
from tests.staleness import stale_reasons
from tests.waiting import wait_until
from trajgen_assets.core.ledger.models import Counts, JobState, TaskFilter, TaskStatus
from trajgen_assets.core.ledger.store import open_ledger
from trajgen_assets.core.paths import Root
from trajgen_assets.core.provision.record import RECORD
from trajgen_assets.core.report.archive import read_runs
from trajgen_assets.core.rollout.slots import job_slot, live_holders
from trajgen_assets.core.scripted import Fault, ScriptedModel
from trajgen_assets.names import HARBOR_ENV, LITELLM_ENV, TRAJECTORIES

pytestmark = pytest.mark.e2e

EXIT_FAILED, EXIT_USAGE, EXIT_REFUSED, EXIT_INTERRUPTED = 1, 2, 3, 130
MODEL_TIME_S = 120.0


def counts(installation: Installation) -> Counts:
    with open_ledger(installation.root) as ledger:
        return ledger.check_balance()


def accepted_trials(installation: Installation) -> dict[str, int]:
    with open_ledger(installation.root) as ledger:
        return {
            row.task_id: sum(attempt.accepted for attempt in ledger.attempts(row.key))
            for row in ledger.rows()
            if row.eligible
        }


def a_trial_runs(installation: Installation) -> bool:
    return any(installation.root.jobs.glob("*/*/agent"))


def test_a_dead_endpoint_is_one_sentence_and_consumes_nothing(installation: Installation) -> None:
    installation.configure("http://127.0.0.1:9/v1")
    assert installation.run("setup", "--skip-environments")[0] == 0
    code, output = installation.run("start")
    assert code == EXIT_REFUSED
    assert "refused, and no task was consumed: the model endpoint is out of reach (http://127.0.0.1:9/v1)" in output
    assert (counts(installation).pending, counts(installation).running) == (6, 0)
    assert "Traceback" not in output
    assert "refused" in (installation.root.index).read_text()


def test_an_endpoint_that_refuses_every_call_consumes_nothing(installation: Installation, model: ScriptedModel) -> None:
    installation.run("setup", "--skip-environments")
    model.set_fault(Fault.UNAUTHORIZED)
    try:
        code, output = installation.run("start")
    finally:
        model.set_fault(Fault.NONE)
    assert code == EXIT_REFUSED
    assert "the model endpoint refuses a completion" in output
    assert (counts(installation).pending, counts(installation).running) == (6, 0)
    assert files_with(SECRET, installation.root.path) == []


def test_a_proxy_that_never_gets_ready_is_one_sentence_and_consumes_nothing(
    installation: Installation, tmp_path: Path
) -> None:
    broken = tmp_path / "env"
    (broken / "litellm-venv" / "bin").mkdir(parents=True)
    (broken / "harbor-uv").symlink_to(installation.root.env / "harbor-uv")
    program = broken / "litellm-venv" / "bin" / "litellm"
    program.write_text("#!/bin/sh\necho no module named proxy\nexit 1\n")
    program.chmod(0o755)
    whole = installation.root.env / "litellm-venv"  # whose record the preflight believes
    (broken / "litellm-venv" / "bin" / "python").symlink_to((whole / "bin" / "python").resolve())
    shutil.copy(whole / RECORD, broken / "litellm-venv")
    installation = Installation(Root(installation.root.path, broken))
    installation.run("setup", "--skip-environments")
    code, output = installation.run("start")
    assert code == EXIT_REFUSED
    assert "refused, and no task was consumed" in output
    assert "no module named proxy" in output
    assert counts(installation).pending == 6


def test_without_a_ledger_nothing_starts_and_the_error_says_what_to_do(installation: Installation) -> None:
    code, output = installation.run("start")
    assert code == EXIT_FAILED
    assert "there is no ledger" in output
    assert "trajgen setup" in output


def test_an_unknown_key_is_named_with_the_nearest_known_one(installation: Installation) -> None:
    installation.config.write_text(installation.config.read_text().replace("n_concurrent", "n_concurent"))
    for command in ("start", "dryrun"):
        code, output = installation.run(command)
        assert code == EXIT_USAGE
        assert "n_concurent" in output
        assert "n_concurrent" in output


def test_start_rolls_out_converts_and_then_has_nothing_to_do(installation: Installation) -> None:
    installation.run("setup", "--skip-environments")
    with open_instance(installation.root) as instance:
        instance.wipe_assets([HARBOR_ENV, LITELLM_ENV])  # as where nothing has reported them yet
    code, output = installation.run("start")
    assert code == 0, output
    assert accepted_trials(installation) == dict.fromkeys([*SOLVED, UNSOLVED], 1)
    job = next(installation.root.jobs.iterdir())
    assert {"result.json", "config.yaml", "trials.json"} <= {path.name for path in job.iterdir()}
    data = installation.root.sft_data / job.name
    assert {path.name for path in data.iterdir()} >= {
        "im.jsonl",
        "lf.json",
        "lf.stats.json",
        "dataset_info.json",
        "receipt.json",
        "rows.parquet",
    }
    assert len((data / "im.jsonl").read_text().splitlines()) == 4
    assert files_with(SECRET, installation.root.path) == []
    with open_instance(installation.root) as instance:  # the job itself had reported what it ran in
        assert not any(stale_reasons(instance, TRAJECTORIES, f"py-cc/{task}") for task in [*SOLVED, UNSOLVED])
        instance.report_runless_asset_event(dg.AssetMaterialization(HARBOR_ENV, tags={"dagster/data_version": "next"}))
        assert stale_reasons(instance, TRAJECTORIES, f"py-cc/{UNSOLVED}") == [
            f"{HARBOR_ENV}: has a new dependency data version"
        ]

    code, output = installation.run("start")  # and being out of date is no reason to roll out again
    assert code == 0
    assert "nothing to roll out" in output
    assert accepted_trials(installation) == dict.fromkeys([*SOLVED, UNSOLVED], 1)


def test_a_driver_killed_outright_loses_and_doubles_nothing(installation: Installation) -> None:
    installation.run("setup", "--skip-environments")
    driver = installation.begin("start")
    wait_until(lambda: a_trial_runs(installation), limit_s=MODEL_TIME_S)
    driver.kill()
    driver.communicate()
    wait_until(lambda: live_holders(installation.root.locks) == set(), limit_s=MODEL_TIME_S)
    assert counts(installation).running == 4

    code, output = installation.run("start")
    assert code == 0, output
    assert "its driver had died" in output
    assert accepted_trials(installation) == dict.fromkeys([*SOLVED, UNSOLVED], 1)
    killed, finished = read_runs(installation.root).rows  # each job once
    assert (killed.status, finished.status) == ("failed", "completed")
    session = (installation.root.path / killed.archive / "session.log").read_text()
    assert "rolling out 4 tasks" in session
    assert "the process that drove this job died" in session.splitlines()[-1]


def test_an_interrupted_demo_leaves_nothing_running_and_the_next_one_finishes_the_rest(
    installation: Installation,
) -> None:
    demo = installation.begin("demo")
    wait_until(lambda: a_trial_runs(installation), limit_s=MODEL_TIME_S)
    os.killpg(demo.pid, signal.SIGINT)
    output, _ = demo.communicate(timeout=MODEL_TIME_S)
    assert demo.returncode == EXIT_INTERRUPTED, output
    assert installation.processes() == []
    assert live_holders(installation.root.locks) == set()
    assert list(installation.root.sandboxes.glob("*/*")) == []
    assert counts(installation).running == 0
    with open_ledger(installation.root) as ledger:
        assert [job.state for job in ledger.jobs()] == [JobState.INTERRUPTED]

    code, output = installation.run("demo")
    assert code == 0, output
    assert accepted_trials(installation) == dict.fromkeys([*SOLVED, UNSOLVED], 1)
    rows = [line for path in installation.root.sft_data.glob("*/im.jsonl") for line in path.read_text().splitlines()]
    assert len(rows) == 4
    assert all('"teacher":"scripted"' in row for row in rows)

    code, output = installation.run("demo")
    assert code == 0
    assert "nothing to roll out" in output


def test_an_interrupted_start_says_so_and_leaves_its_tasks_pending(installation: Installation) -> None:
    installation.run("setup", "--skip-environments")
    start = installation.begin("start", "--limit", "1")
    wait_until(lambda: a_trial_runs(installation), limit_s=MODEL_TIME_S)
    os.killpg(start.pid, signal.SIGINT)
    output, _ = start.communicate(timeout=MODEL_TIME_S)
    assert start.returncode == EXIT_INTERRUPTED, output
    assert "Traceback" not in output
    assert installation.processes() == []
    assert (counts(installation).running, counts(installation).assigned) == (0, 0)
    with open_ledger(installation.root) as ledger:
        assert [job.state for job in ledger.jobs()] == [JobState.INTERRUPTED]


def test_an_interrupt_while_waiting_for_a_slot_gives_the_tasks_back(installation: Installation) -> None:
    text = installation.config.read_text()
    installation.config.write_text(text.replace("{enabled: true}", "{enabled: true, max_jobs: 1}", 1))
    installation.run("setup", "--skip-environments")
    with job_slot(installation.root.locks, 1, holder="another-job"):
        start = installation.begin("start")
        wait_until(lambda: counts(installation).assigned == 4, limit_s=MODEL_TIME_S)
        time.sleep(5)  # until it has come to the slots; earlier is as good, only another path
        os.killpg(start.pid, signal.SIGINT)
        output, _ = start.communicate(timeout=MODEL_TIME_S)
    assert start.returncode == EXIT_INTERRUPTED, output
    assert "another-job" in output  # it says for whom it waits
    assert (counts(installation).pending, counts(installation).assigned) == (6, 0)


def test_a_command_that_is_killed_while_it_waits_leaves_its_tasks_to_the_next_one(installation: Installation) -> None:
    text = installation.config.read_text()
    installation.config.write_text(text.replace("{enabled: true}", "{enabled: true, max_jobs: 1}", 1))
    installation.run("setup", "--skip-environments")
    with job_slot(installation.root.locks, 1, holder="another-job"):
        start = installation.begin("start")
        assert start.stdout is not None
        wait_until(lambda: "beside another-job" in start.stdout.readline(), limit_s=MODEL_TIME_S)
        os.killpg(start.pid, signal.SIGKILL)
        start.communicate(timeout=MODEL_TIME_S)
    code, output = installation.run("start")
    assert code == 0, output
    assert "is given up (the command that started it is gone), and its 4 tasks are free again" in output
    assert list(accepted_trials(installation).values()) == [1, 1, 1, 1]


def test_a_lost_dagster_home_loses_no_task(installation: Installation) -> None:
    installation.configure("http://127.0.0.1:9/v1")
    installation.run("setup", "--skip-environments")
    installation.run("prepare-tasks")
    shutil.rmtree(installation.root.dagster_home)
    assert installation.run("setup", "--skip-environments")[0] == 0
    code, output = installation.run("start")
    assert code == EXIT_REFUSED, output
    assert "Traceback" not in output
    assert (counts(installation).pending, counts(installation).assigned) == (6, 0)


def test_a_task_that_nobody_knows_is_an_error(installation: Installation) -> None:
    installation.run("setup", "--skip-environments")
    code, output = installation.run("start", "--tasks", "no-such-task")
    assert code == EXIT_USAGE
    assert "no-such-task is left alone: it is not registered" in output


def test_init_tries_before_it_writes_and_ends_with_a_first_trajectory(
    installation: Installation, model: ScriptedModel
) -> None:
    installation.config.unlink()
    options = ["--tasks", str(TASKS), "--model", "openai/scripted", "--key-env", KEY_ENV, "--environment", "local"]
    code, output = installation.run("init", *options, "--base-url", "http://127.0.0.1:9/v1")
    assert code == EXIT_REFUSED, output
    assert not installation.config.exists()

    code, output = installation.run("init", *options, "--base-url", model.base_url)
    assert code == 0, output
    assert len(installation.config.read_text().splitlines()) <= 15
    assert list(accepted_trials(installation).values()) == [1]
    assert not installation.root.sft_data.exists()  # smoke counts towards nothing
    assert installation.run("status")[0] == 0
    assert installation.run("dryrun")[0] == 0

    code, output = installation.run("init", *options, "--base-url", "http://127.0.0.1:9/v1")
    assert code == EXIT_USAGE
    assert "there is another configuration already" in output


def test_force_rolls_out_again_and_keeps_the_earlier_attempt_out_of_the_data(installation: Installation) -> None:
    installation.run("setup", "--skip-environments")
    code, output = installation.run("start", "--tasks", SOLVED[0])
    assert code == 0, output
    code, output = installation.run("start", "--tasks", SOLVED[0])
    assert (code, "is done already" in output) == (0, True)
    assert installation.run("start", "--force")[0] == EXIT_USAGE
    code, output = installation.run("start", "--tasks", SOLVED[0], "--force")
    assert code == 0, output

    with open_ledger(installation.root) as ledger:
        first, second = ledger.jobs()
        (row,) = ledger.rows(TaskFilter(status=TaskStatus.DONE))
        assert [attempt.accepted for attempt in ledger.attempts(row.key)] == [False, True]
        assert [job.name for job in ledger.jobs_needing_downstream()] == [first.name]
        ledger.check_balance()
        assert ledger.superseded_trials(second.name) == set()
    assert installation.run("convert", "--job", first.name)[0] == 0
    code, output = installation.run("score", first.name, "--json", "--dry-run")
    facts = json.loads(output)
    assert (code, facts["changed"], facts["written"], facts["job"]) == (0, 0, False, first.name)
    assert installation.run("score", "nobodys-job")[0] == EXIT_USAGE
