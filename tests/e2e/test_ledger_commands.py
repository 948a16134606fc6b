"""`trajgen ledger` as a user types it: decisions about tasks, imports of what was consumed, checks and mending."""

import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.conftest import SOLVED, UNSOLVED, Installation
from tests.unit.ledger.twins import graded, lost
from trajgen_assets.core.intake.digest import task_digest
from trajgen_assets.core.keys import TaskKey
from trajgen_assets.core.ledger import Batch, Ledger, RetryPolicy, TaskStatus, open_ledger
from trajgen_assets.core.ledger.models import JobState
from trajgen_assets.core.paths import PROJECT
from trajgen_assets.core.rollout.trials import load_trials

pytestmark = pytest.mark.e2e

EXIT_OK, EXIT_FAILED, EXIT_USAGE = 0, 1, 2
TRIAL = "stanzaconf__1"


def key(task_id: str) -> TaskKey:
    return TaskKey("main", "py-cc", task_id)


@pytest.fixture
def ready(installation: Installation) -> Installation:
    """Set up and registered, with nothing rolled out."""
    assert installation.run("setup", "--skip-environments")[0] == EXIT_OK
    assert installation.run("prepare-tasks")[0] == EXIT_OK
    return installation


def opened(installation: Installation) -> Ledger:
    return open_ledger(installation.root)


def status_of(installation: Installation, task_id: str) -> TaskStatus:
    with opened(installation) as ledger:
        return ledger.task(key(task_id)).status


def settle_one_of_each(installation: Installation) -> None:
    """A task that is done and one that failed, by a job that never ran."""
    with opened(installation) as ledger:
        batch = Batch("main", "py-cc", task_ids=[SOLVED[0], SOLVED[1]])
        ledger.assign("job-1", batch)
        lease = ledger.claim("job-1", "run-1", ttl_s=600)
        path = installation.root.job("job-1").trajectory(TRIAL)
        path.parent.mkdir(parents=True)
        path.write_text("{}\n")
        done = graded(TRIAL, trajectory_path=str(path.relative_to(installation.root.path)), trajectory_sha256=None)
        policy = RetryPolicy(0, 0, 0)
        ledger.record_attempt(lease, key(SOLVED[0]), done, policy)
        ledger.record_attempt(lease, key(SOLVED[1]), lost("leasetable__1"), policy)
        ledger.release(lease, JobState.FINISHED)


def test_a_retry_with_more_memory_rolls_out_a_copy_that_says_so_and_leaves_the_task_as_it_is(
    ready: Installation,
) -> None:
    settle_one_of_each(ready)
    failed = SOLVED[1]
    assert ready.run("ledger", "retry", failed, "--memory-multiplier", "2", "--yes")[0] == EXIT_OK
    code, output = ready.run("start", "--tasks", failed)
    assert code == EXIT_OK, output
    with opened(ready) as ledger:
        row = ledger.task(key(failed))
    files = ready.root.job(str(row.last_job))
    (entry,) = load_trials(files.trials).trials
    assert (entry.accepted, entry.task.memory_mb, entry.task.digest) == (True, 2048, row.digest)
    staged, given = ready.root.tasks / "py-cc" / failed, files.task_copies / failed
    assert task_digest(staged) == row.digest
    assert (given / "task.toml").read_text() == (staged / "task.toml").read_text().replace("= 1024", "= 2048")
    result = json.loads((files.trial(str(entry.trial_name)) / "result.json").read_bytes())
    assert result["config"]["task"]["path"] == str(given)


def at_terminal(installation: Installation, answer: str, *arguments: str) -> tuple[int, str]:
    """Run `trajgen ARGUMENTS` where a person can be asked, and type `answer`."""
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [Path(sys.executable).parent / "trajgen", "--root", installation.root.path, *arguments],
        env=installation.environ(),
        cwd=PROJECT,
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    os.close(theirs)
    os.write(ours, f"{answer}\n".encode())
    output, _ = child.communicate(timeout=60)
    os.close(ours)
    return child.returncode, output


def test_a_person_skips_retries_and_resets(ready: Installation) -> None:
    settle_one_of_each(ready)
    done, failed, free = SOLVED[0], SOLVED[1], SOLVED[2]

    code, output = ready.run("ledger", "skip", free, "--reason", "needs the network", "--dry-run")
    assert (code, status_of(ready, free)) == (EXIT_OK, TaskStatus.PENDING)
    assert "1 task to skip" in output
    code, output = at_terminal(ready, "n", "ledger", "skip", free, "--reason", "needs the network")
    assert (code, status_of(ready, free)) == (EXIT_FAILED, TaskStatus.PENDING)
    assert "nothing was changed" in output
    code, _ = at_terminal(ready, "y", "ledger", "skip", free, "--reason", "needs the network")
    assert (code, status_of(ready, free)) == (EXIT_OK, TaskStatus.SKIPPED)
    assert "needs the network" in ready.root.ledger_view.read_text()

    code, output = ready.run("ledger", "retry", "--cause", "sandbox", "--memory-multiplier", "2", "--yes")
    assert (code, status_of(ready, failed)) == (EXIT_OK, TaskStatus.PENDING), output

    code, output = ready.run("ledger", "reset", done, "--yes")
    assert (code, status_of(ready, done)) == (EXIT_FAILED, TaskStatus.DONE)
    assert "--force" in output
    code, output = ready.run("ledger", "reset", done, free, "--force", "--yes", "--json")
    assert code == EXIT_OK, output
    assert [task["status"] for task in json.loads(output)["tasks"]] == ["pending", "pending"]
    with opened(ready) as ledger:
        assert [attempt.accepted for attempt in ledger.attempts(key(done))] == [False]
        ledger.check_balance()


def test_a_slip_changes_nothing_and_is_one_sentence(ready: Installation) -> None:
    for arguments, said in (
        (["skip", SOLVED[0], "--reason", "x"], "add --yes where there is no terminal"),
        (["skip", SOLVED[0], "--reason", "x", "--json"], "with --json nobody is asked"),
        (["retry", "--yes"], "no task is named"),
        (["import", "--yes", "/nowhere.yaml"], "the file cannot be read"),
        (["import", "--yes", "/dev/zero"], "this is no file"),
        (["import", "--yes", "--dataset", "mistyped"], "no task source is named 'mistyped'"),
    ):
        child = subprocess.run(
            [Path(sys.executable).parent / "trajgen", "--root", ready.root.path, "ledger", *arguments],
            env=ready.environ(),
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert child.returncode == EXIT_USAGE, child.stderr
        assert said in child.stderr
        assert len(child.stderr.splitlines()) == 1
    code, output = ready.run("ledger", "skip", "fernhollow__stanzaconf-78", "--reason", "x", "--yes")
    assert code == EXIT_USAGE
    assert f"the nearest is {SOLVED[0]}" in output


def test_a_task_that_a_list_excludes_says_so(ready: Installation) -> None:
    (ready.root.path / "excluded_tasks.txt").write_text(f"# retired\n{SOLVED[0]}  # asks for a password\n\nunknown\n")
    code, output = ready.run("ledger", "show", "--status", "pending")
    assert code == EXIT_OK
    (line,) = [line for line in output.splitlines() if SOLVED[0] in line]
    assert "excluded (excluded_tasks.txt or HARBOR_EXCLUDE_TASKS)" in line
    code, output = ready.run("status")
    assert "1 pending task is excluded" in output
    assert "next: 3 tasks are free" in output


def test_an_export_is_read_back_and_changes_nothing(ready: Installation, tmp_path: Path) -> None:
    settle_one_of_each(ready)
    file = tmp_path / "export.yaml"
    assert ready.run("ledger", "export", str(file))[0] == EXIT_OK
    code, output = ready.run("ledger", "export", "--json")
    assert code == EXIT_OK
    assert json.loads(output) == yaml.safe_load(file.read_text())
    code, output = ready.run("ledger", "import", str(file), "--yes", "--json")
    assert code == EXIT_OK, output
    said = json.loads(output)
    assert (said["changed"], said["left"]) == ([], {})


def test_what_a_person_wrote_into_the_view_is_taken_over(ready: Installation) -> None:
    settle_one_of_each(ready)
    ready.run("ledger", "skip", SOLVED[2], "--reason", "x", "--yes")
    view = ready.root.ledger_view
    edited = yaml.safe_load(view.read_text())
    for run in edited["runs"]:
        if run["task_id"] == UNSOLVED:
            run |= {"status": "skipped", "note": "by hand"}
        if run["task_id"] in (SOLVED[1], SOLVED[2]):
            run["status"] = "pending"
    view.write_text(yaml.safe_dump(edited))
    code, output = ready.run("ledger", "check")
    assert code == EXIT_FAILED
    assert "edited view" in output
    code, output = ready.run("ledger", "import", "--yes")
    assert code == EXIT_OK, output
    assert [status_of(ready, each).value for each in (UNSOLVED, SOLVED[1], SOLVED[2])] == [
        "skipped",
        "pending",
        "pending",
    ]
    assert len(list(view.parent.glob("consumption_ledger.imported-*.yaml"))) == 1
    assert "by hand" in view.read_text()
    assert "edited view" not in ready.run("ledger", "check")[1]


def earlier_trial(installation: Installation, task_id: str, **more: Any) -> None:
    folder = installation.root.jobs / "py-cc-terminus-2-model-20260301100000" / f"{task_id[:32]}__abcdefg"
    (folder / "agent").mkdir(parents=True)
    (folder / "agent" / "litellm-trajectory.jsonl").write_text("{}\n")
    result = {"trial_name": folder.name, "config": {"task": {"path": f"artifacts/tasks/py-cc/{task_id}"}}}
    result |= {"verifier_result": {"rewards": {"reward": 1.0}}, "finished_at": "2026-03-01T10:20:00Z"}
    (folder / "result.json").write_text(json.dumps(result | more))
    (folder / "config.json").write_text(json.dumps(result["config"]))


def test_a_user_of_the_earlier_system_switches_on_day_one(installation: Installation) -> None:
    installation.root.ledger_view.write_text(
        f"""\
description: which tasks were consumed
runs:
- {{task_id: {SOLVED[0]}, status: done, reward: 0.0, trajectory_path: null, completed_at: March}}
- {{task_id: {SOLVED[1]}, status: runing}}
- {{task_id: retired__task-1, status: failed, note: OOM}}
"""
    )
    earlier_trial(installation, UNSOLVED)
    earlier_trial(installation, SOLVED[2], verifier_result=None)
    code, output = installation.run("setup", "--skip-environments")
    assert code == EXIT_FAILED
    assert "`trajgen ledger import`" in output
    assert "`trajgen ledger check --fix`" in output

    code, output = installation.run("ledger", "import", "--yes")
    assert code == EXIT_USAGE
    assert "line 4: status 'runing' is not known; the nearest is running" in output
    assert not installation.root.ledger.exists()
    view = installation.root.ledger_view
    view.write_text(view.read_text().replace("runing", "running"))
    code, output = installation.run("ledger", "import", "--dry-run")
    assert code == EXIT_OK, output
    assert not installation.root.ledger.exists()
    code, output = installation.run("ledger", "import", "--yes")
    assert code == EXIT_OK, output
    assert "of these 3 imported" in output
    with opened(installation) as ledger:
        found = {row.task_id: (row.status.value, row.imported) for row in ledger.rows() if row.eligible}
        assert found == {
            SOLVED[0]: ("done", True),
            SOLVED[1]: ("pending", False),
            SOLVED[2]: ("pending", False),
            UNSOLVED: ("done", True),
        }
        retired = ledger.task(key("retired__task-1"))
        assert (retired.status, retired.listed) == (TaskStatus.FAILED, False)

    assert installation.run("setup", "--skip-environments")[0] == EXIT_OK
    code, output = installation.run("ledger", "check", "--fix", "--yes")
    assert code == EXIT_OK, output
    code, output = installation.run("ledger", "import", "--yes", "--json")
    assert code == EXIT_OK, output
    assert (json.loads(output)["changed"], json.loads(output)["new_trials"]) == ([], [])


def test_a_lost_ledger_is_rebuilt_and_nothing_is_rolled_out_twice(installation: Installation) -> None:
    installation.run("setup", "--skip-environments")
    code, output = installation.run("start", "--limit", "2")
    assert code == EXIT_OK, output
    first = [path.name for path in installation.root.jobs.iterdir()]
    for path in installation.root.path.glob("ledger.sqlite*"):
        path.unlink()
    installation.root.ledger_view.unlink()

    code, output = installation.run("setup", "--skip-environments")
    assert code == EXIT_FAILED
    assert "`trajgen ledger import`" in output
    code, output = installation.run("ledger", "import", "--yes")
    assert code == EXIT_OK, output
    assert "2 done" in output
    code, output = installation.run("ledger", "check")
    assert code == EXIT_FAILED
    assert "no data" in output
    code, output = installation.run("ledger", "check", "--fix", "--yes")
    assert code == EXIT_OK, output

    code, output = installation.run("start")
    assert code == EXIT_OK, output
    with opened(installation) as ledger:
        accepted = {row.task_id: [a.job for a in ledger.attempts(row.key) if a.accepted] for row in ledger.rows()}
    tried = {task_id: jobs for task_id, jobs in accepted.items() if jobs}
    assert set(tried) == {*SOLVED, UNSOLVED}
    assert all(len(jobs) == 1 for jobs in tried.values())
    assert sum(jobs == first for jobs in tried.values()) == 2
    assert len(list(installation.root.jobs.glob("*/*/result.json"))) == 4
    assert installation.run("ledger", "check")[0] == EXIT_OK


def test_a_result_whose_files_are_gone_is_named_with_the_mend(ready: Installation) -> None:
    settle_one_of_each(ready)
    assert ready.run("ledger", "check", "--fix", "--yes")[0] == EXIT_OK  # reports the event that no run reported
    shutil.rmtree(ready.root.jobs / "job-1")
    code, output = ready.run("ledger", "check", "--json")
    assert code == EXIT_FAILED
    (difference,) = json.loads(output)["differences"]
    assert (difference["kind"], difference["subject"]) == ("missing trajectory", f"py-cc/{SOLVED[0]}")
