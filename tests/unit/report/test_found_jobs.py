import json
from pathlib import Path
from typing import Any

import pytest

from trajgen_assets.core.capture.stored import compress, content_sha256
from trajgen_assets.core.errors import ImportRefusedError
from trajgen_assets.core.keys import TaskKey
from trajgen_assets.core.ledger import AttemptKind, TaskStatus
from trajgen_assets.core.paths import Root
from trajgen_assets.core.report.found_jobs import find_jobs
from trajgen_assets.core.report.found_tasks import Resolver
from trajgen_assets.core.rollout.trials import AgentRecord, TaskRecord, TrialEntry, TrialsFile, write_trials

LINE = '{"success": true}\n'
RESOLVE = Resolver("main", datasets=["py-cc"])


def trajectory(root: Root, job: str, trial: str, text: str = LINE) -> Path:
    path = root.job(job).trajectory(trial)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def ours(root: Root, job: str, **more: Any) -> TrialEntry:
    """A job of this system with one accepted trial of task `a`, but for what `more` says."""
    path = trajectory(root, job, "a__1")
    values: dict[str, Any] = {"task_id": "a", "task_key": "py-cc/a", "trial_name": "a__1", "attempt": 1}
    values |= {"accepted": True, "status": "done", "reward": 1.0, "capture": "complete"}
    values |= {"trajectory": "a__1/agent/litellm-trajectory.jsonl", "trajectory_sha256": content_sha256(path)}
    values |= {"task": TaskRecord(digest="d", instruction="do it")}
    made = TrialEntry(**(values | more))
    header = TrialsFile(job=job, dataset="py-cc", campaign="main", scaffold="t", agent=AgentRecord(name="t"), model="m")
    write_trials(root.job(job).trials, header.model_copy(update={"trials": (made,)}))
    return made


def earlier(root: Root, job: str, task_id: str, **more: Any) -> Path:
    """A trial as Harbor leaves it, of a job without a `trials.json`."""
    name = f"{task_id[:32]}__abc1234"
    folder = root.jobs / job / name
    folder.mkdir(parents=True)
    result = {
        "trial_name": name,
        "config": {"task": {"path": f"artifacts/tasks/py-cc/{task_id}"}},
        "verifier_result": {"rewards": {"reward": 0.0}},
        "agent_result": {"n_input_tokens": 10, "n_output_tokens": 2},
        "started_at": "2026-03-01T10:00:00.000000Z",
        "finished_at": "2026-03-01T10:20:00.000000Z",
    }
    (folder / "result.json").write_text(json.dumps(result | more))
    trajectory(root, job, name)
    return folder


def test_our_accepted_trial_is_found_with_its_facts(root: Root) -> None:
    ours(root, "j", n_input_tokens=7)
    (job,) = find_jobs(root, RESOLVE).jobs
    (trial,) = job.trials
    assert (job.name, job.campaign, job.dataset, job.is_ours) == ("j", "main", "py-cc", True)
    assert (trial.key, trial.accepted, trial.status) == (TaskKey("main", "py-cc", "a"), True, TaskStatus.DONE)
    assert trial.outcome.trajectory_path == "jobs/j/a__1/agent/litellm-trajectory.jsonl"
    assert (trial.outcome.n_input_tokens, trial.digest) == (7, "d")


def test_an_accepted_trial_without_its_trajectory_is_pending_again(root: Root) -> None:
    ours(root, "j")
    root.job("j").trajectory("a__1").unlink()
    (job,) = find_jobs(root, RESOLVE).jobs
    (trial,) = job.trials
    assert (trial.accepted, trial.status, trial.outcome.kind) == (False, TaskStatus.PENDING, AttemptKind.FREE)
    assert "not on disk any more" in (trial.outcome.note or "")


def test_a_trajectory_that_is_another_or_a_link_is_not_accepted(root: Root, tmp_path: Path) -> None:
    ours(root, "changed", trajectory_sha256="0" * 64)
    ours(root, "linked")
    target = tmp_path / "elsewhere"
    target.write_text(LINE)
    root.job("linked").trajectory("a__1").unlink()
    root.job("linked").trajectory("a__1").symlink_to(target)
    assert [trial.accepted for job in find_jobs(root, RESOLVE).jobs for trial in job.trials] == [False, False]


@pytest.mark.parametrize(
    ("cause", "kind"),
    [("sandbox", AttemptKind.OUTSIDE), ("agent_budget", AttemptKind.COUNTED), ("cancelled", AttemptKind.FREE)],
)
def test_a_failed_trial_keeps_its_cause(root: Root, cause: str, kind: AttemptKind) -> None:
    ours(root, "j", accepted=False, status="failed", reward=None, cause=cause)
    trial = find_jobs(root, RESOLVE).jobs[0].trials[0]
    assert (trial.status, trial.outcome.kind, trial.outcome.cause) == (TaskStatus.FAILED, kind, cause)


def test_a_graded_trial_of_the_earlier_system_is_done_under_its_whole_id(root: Root) -> None:
    long = "cartography-cncf__cartography-with-a-long-name-1234"
    earlier(root, "old", long)
    (job,) = find_jobs(root, RESOLVE).jobs
    (trial,) = job.trials
    assert (trial.key.task_id, trial.status, trial.accepted, trial.outcome.reward) == (long, TaskStatus.DONE, False, 0)
    assert (job.is_ours, trial.outcome.n_input_tokens) == (False, 10)


def test_nothing_without_a_verifiers_result_or_a_trajectory_is_taken(root: Root) -> None:
    earlier(root, "old", "no-result", verifier_result=None)
    earlier(root, "old", "broken", exception_info={"exception_type": "NonZeroAgentExitCodeError"})
    earlier(root, "old", "unfinished", finished_at=None)
    folder = earlier(root, "old", "no-trajectory")
    (folder / "agent" / "litellm-trajectory.jsonl").unlink()
    folder = earlier(root, "old", "empty-trajectory")
    (folder / "agent" / "litellm-trajectory.jsonl").write_text("")
    timeout = {"exception_type": "AgentTimeoutError"}
    earlier(root, "old", "timed-out", exception_info=timeout)
    (job,) = find_jobs(root, RESOLVE).jobs
    assert [trial.key.task_id for trial in job.trials] == ["timed-out"]


def test_garbage_is_named_and_keeps_nobody_back(root: Root) -> None:
    ours(root, "good")
    (root.jobs / "bad").mkdir()
    root.job("bad").trials.write_text("{")
    ours(root, "moved")
    (root.jobs / "moved").rename(root.jobs / "renamed")
    (earlier(root, "old", "b") / "result.json").write_text("[]")
    (root.jobs / "note.txt").write_text("hello")
    (root.jobs / "empty").mkdir()
    earlier(root, "smoke", "c")
    found = find_jobs(root, RESOLVE)
    assert [job.name for job in found.jobs] == ["good"]
    assert set(found.unreadable) == {"bad", "renamed", "old/b__abc1234"}
    assert set(found.left) == {"smoke"}


def test_a_trial_that_could_be_of_two_data_sets_is_refused(root: Root) -> None:
    earlier(root, "old", "a")
    two = {"a": frozenset({"rust", "go"})}
    with pytest.raises(ImportRefusedError, match="go and rust list it"):
        find_jobs(root, Resolver("main", owners=two))
    both = {"a": frozenset({"rust", "py-cc"})}
    (job,) = find_jobs(root, Resolver("main", owners=both)).jobs
    assert job.dataset == "py-cc"  # the folder that it lay in tells


def test_where_there_are_no_jobs_nothing_is_found(root: Root) -> None:
    assert find_jobs(root, RESOLVE).jobs == []


def test_compressed_trajectories_are_taken_over_as_they_are_recorded(root: Root) -> None:
    ours(root, "j")
    compress(root.job("j").trajectory("a__1"))
    (trial,) = find_jobs(root, RESOLVE).jobs[0].trials
    assert trial.accepted
    earlier(root, "old", "b")
    (path,) = root.jobs.glob("old/*/agent/litellm-trajectory.jsonl")
    digest = content_sha256(path)
    compress(path)
    old = next(job for job in find_jobs(root, RESOLVE).jobs if job.name == "old")
    assert old.trials[0].outcome.trajectory_sha256 == digest
