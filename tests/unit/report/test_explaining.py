"""A task is explained from its line in the manifest to what happens next, whatever became of it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.report.conftest import DATASET
from trajgen_assets.cli.explain import lines_of
from trajgen_assets.core.intake.staging import stage_task
from trajgen_assets.core.keys import MAIN_CAMPAIGN, TaskKey
from trajgen_assets.core.ledger import (
    AttemptKind,
    AttemptOutcome,
    Batch,
    CaptureVerdict,
    JobState,
    Lease,
    RetryPolicy,
)
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.report.explaining import Explanation, explain
from trajgen_assets.core.report.heartbeat import beat
from trajgen_assets.core.report.places import trial_of
from trajgen_assets.core.report.standing import configured
from trajgen_assets.core.rollout.trials import NOT_BEGUN_NOTE

A = TaskKey(MAIN_CAMPAIGN, DATASET, "a")


def explained(platform: Platform, key: TaskKey = A) -> Explanation:
    config = configured(platform.config.path)
    return explain(platform.root, platform.ledger, config, platform.ledger.task(key))


def claimed(platform: Platform, job: str) -> Lease:
    assert platform.ledger.assign(job, Batch(MAIN_CAMPAIGN, DATASET, task_ids=["a"]))
    return platform.ledger.claim(job, "run", ttl_s=60)


def trial_folder(platform: Platform, job: str, trial: str) -> Path:
    folder = platform.root.job(job).trial(trial)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"task": {"path": f"/tasks/{DATASET}/a"}}))
    return folder


def tried(platform: Platform, job: str, outcome: AttemptOutcome) -> None:
    lease = claimed(platform, job)
    trial_folder(platform, job, outcome.trial_name)
    platform.ledger.record_attempt(lease, A, outcome, RetryPolicy(max_infra_retries=1))
    platform.ledger.release(lease, JobState.FINISHED)


FAILED = AttemptOutcome("a__1", AttemptKind.OUTSIDE, "sandbox", note="the build\x1b[2J broke")
GRADED = AttemptOutcome(
    "a__2",
    AttemptKind.GRADED,
    reward=0.0,
    capture=CaptureVerdict.COMPLETE,
    trajectory_path="jobs/two/a__2/agent/litellm-trajectory.jsonl",
    trajectory_sha256="ab",
)


PATCH = {
    "schema_version": 1, "status": "too_large", "reason": "the patch has more than 64 MB", "workdir": "/app",
    "read_by": "engine", "baseline_tree": "a", "final_tree": "b", "n_files": 3, "size_bytes": None, "sha256": None,
    "left_out": {}, "largest": [{"path": "core", "size_bytes": 99_000_000}], "taking_s": 1.0,
}  # fmt: skip


def test_a_free_task_says_its_line_its_folder_and_who_takes_it(platform: Platform) -> None:
    found = explained(platform, replace(A, task_id="b"))
    assert found.listed == f"line 2 of {platform.config.source(DATASET).manifest}"
    assert "as registered" in found.source
    assert found.staged.startswith("not there: ")
    assert found.next_step.startswith("`trajgen start ")
    assert "attempts: none has ended" in lines_of(found)


def test_each_attempt_has_its_cause_its_reward_its_capture_and_its_place(platform: Platform) -> None:
    tried(platform, "one", FAILED)
    tried(platform, "two", GRADED)
    patch = platform.root.job("two").patch_record(GRADED.trial_name)
    patch.parent.mkdir()
    patch.write_text(json.dumps(PATCH))
    found = explained(platform)
    first, second = found.attempts
    assert (first.is_accepted, first.cause, first.counts_as, first.folder) == (
        False,
        "sandbox",
        "outside",
        "jobs/one/a__1",
    )
    assert (second.is_accepted, second.reward, second.capture, second.trajectory) == (True, 0.0, "complete", None)
    assert found.status == "done (reward 0)"
    assert "ledger reset --force" in found.next_step
    text = "\n".join(lines_of(found))
    assert "attempt 1: not accepted: sandbox (counts as outside), no reward, job one" in text
    assert "attempt 2: accepted, reward 0, capture complete, job two" in text
    assert (first.patch, second.patch) == (None, "none: the patch has more than 64 MB")
    assert "  patch: none: the patch has more than 64 MB" in text


@pytest.mark.parametrize("note", [NOT_BEGUN_NOTE, "JobStoppedError: /x/jobs/one/stop asks for no more trials"])
def test_an_attempt_that_found_its_job_stopped_is_told_as_not_begun(platform: Platform, note: str) -> None:
    left = AttemptOutcome("a__1", AttemptKind.FREE, "cancelled", capture=CaptureVerdict.GAP, duration_s=0.0, note=note)
    tried(platform, "one", left)
    found = explained(platform)
    assert (found.attempts[0].cause, found.attempts[0].capture) == ("cancelled", None)
    text = "\n".join(lines_of(found))
    assert "attempt 1: not begun (counts as free), capture -, job one" in text
    assert "gap" not in text
    assert "/stop" not in text


def test_a_task_whose_retries_are_used_up_says_how_to_give_it_new_ones(platform: Platform) -> None:
    for number in (1, 2):
        tried(platform, f"job-{number}", replace(FAILED, trial_name=f"a__{number}"))
    found = explained(platform)
    assert found.status.startswith("failed (sandbox)")
    assert found.next_step.endswith(f"`trajgen ledger retry {A.partition}` gives it new ones")


def test_what_a_task_waits_for_is_named_the_nearest_first(platform: Platform) -> None:
    platform.ledger.trip(DATASET, "model_provider")
    assert "the end of an outage (model_provider)" in explained(platform).next_step
    platform.ledger.pause("", "ann", "new keys")
    assert explained(platform).next_step.startswith("it waits: all launches are paused by ann")
    (platform.config.path.parent / "excluded_tasks.txt").write_text("a  # too slow\n")
    assert "excluded_tasks.txt, line 1: too slow" in explained(platform).next_step
    (platform.config.path.parent / "excluded_tasks.txt").write_bytes(b"\xff\n")
    assert "excluded_tasks.txt" in explained(platform).next_step
    platform.config.path.write_text("runtime_info: [")
    assert explained(platform).next_step.startswith("no new job begins: ")
    assert platform.ledger.assign("j", Batch(MAIN_CAMPAIGN, DATASET, task_ids=["a"]))
    assert explained(platform).next_step == "it begins with job j, which is assigned"


def test_a_folder_that_has_changed_or_is_broken_is_said_to_be_so(platform: Platform) -> None:
    source = platform.config.source(DATASET).folder / "a"
    row = platform.ledger.task(A)
    stage_task(source, platform.root.tasks / DATASET / "a", mode="copy", expected_digest=row.digest)
    (source / "instruction.md").write_text("Something else.\n")
    found = explained(platform)
    assert "changed since it was registered" in found.source
    assert "as registered" in found.staged
    (source / "instruction.md").unlink()
    assert explained(platform).source.startswith("cannot be used: ")


def test_an_id_that_left_its_manifest_is_said_to_have(platform: Platform) -> None:
    manifest = platform.config.source(DATASET).manifest
    manifest.write_text("b\nc\n")
    assert explained(platform).listed == f"no longer in {manifest}"


def test_a_task_whose_data_set_is_not_configured_waits_for_no_folder(platform: Platform) -> None:
    config = platform.config.path
    config.write_text(config.read_text().replace(DATASET, "another"))
    assert explained(platform).next_step == f"it is not rolled out: data set {DATASET} is in no task_source"


@pytest.mark.parametrize("is_over", [False, True])
def test_the_trial_that_runs_is_shown_until_one_counts(platform: Platform, is_over: bool) -> None:
    tried(platform, "one", FAILED)
    lease = claimed(platform, "two")
    trial_folder(platform, "two", "a__2")
    if is_over:
        platform.ledger.record_attempt(lease, A, GRADED, RetryPolicy())
    found, place = explained(platform), trial_of(platform.root, platform.ledger, platform.ledger.task(A))
    assert place is not None
    assert (place.trial, place.is_over) == ("a__2", is_over)
    assert found.running == (None if is_over else "two/a__2")


def test_a_task_without_a_trial_has_no_place(platform: Platform) -> None:
    assert trial_of(platform.root, platform.ledger, platform.ledger.task(A)) is None


def test_a_tick_is_promised_only_where_the_daemon_runs_and_may_begin_jobs(platform: Platform) -> None:
    by_hand = f"`trajgen start --campaign main --dataset {DATASET} --tasks a` begins it now"
    assert explained(platform).next_step == by_hand
    with platform.config.path.open("a") as file:
        file.write("    automation: {enabled: true}\n")
    assert explained(platform).next_step == by_hand
    beat(platform.root)
    assert explained(platform).next_step == f"one of the next ticks takes it; {by_hand}"
