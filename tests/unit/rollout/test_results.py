"""What Harbor recorded is read as it is meant: no verifier result is never a reward of 0."""

import json
from pathlib import Path
from typing import Any

import pytest

from trajgen_assets.core.errors import HarnessError
from trajgen_assets.core.ledger.models import AttemptKind
from trajgen_assets.core.paths import Root
from trajgen_assets.core.rollout.causes import Cause, cause_of
from trajgen_assets.core.rollout.results import read_trial_result
from trajgen_assets.core.rollout.settle import settle_trial
from trajgen_assets.core.rollout.trials import NOT_BEGUN_NOTE, STOPPED_ERROR

FINISHED = {"started_at": "2026-11-21T01:00:00Z", "finished_at": "2026-11-21T01:00:12.5Z"}


def result_in(folder: Path, **fields: Any) -> Path:
    raw = {"trial_name": "t__abc", **FINISHED, **fields}
    (folder / "result.json").write_text(json.dumps(raw))
    return folder


def raised(name: str, message: str = "boom") -> dict[str, str]:
    return {"exception_type": name, "exception_message": message}


def test_a_trial_without_a_result_file_has_not_ended(tmp_path: Path) -> None:
    assert read_trial_result(tmp_path) is None


def test_a_result_without_an_end_has_not_ended(tmp_path: Path) -> None:
    assert read_trial_result(result_in(tmp_path, finished_at=None)) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', '{"started_at": 1}'])
def test_a_malformed_result_is_an_error_that_names_the_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(HarnessError, match=r"result\.json"):
        read_trial_result(tmp_path)


def test_a_reward_of_zero_is_a_result(tmp_path: Path) -> None:
    result = read_trial_result(result_in(tmp_path, verifier_result={"rewards": {"reward": 0}}))
    assert result is not None
    assert (result.reward, result.cause, result.duration_s) == (0.0, None, 12.5)


def test_no_verifier_result_is_not_a_reward_of_zero(tmp_path: Path) -> None:
    result = read_trial_result(result_in(tmp_path, verifier_result=None))
    assert result is not None
    assert (result.reward, result.cause) == (None, Cause.VERIFIER)


@pytest.mark.parametrize("value", [True, "1", None, float("nan"), float("inf"), [1]])
def test_what_is_no_number_is_no_reward(tmp_path: Path, value: object) -> None:
    result = read_trial_result(result_in(tmp_path, verifier_result={"rewards": {"reward": value}}))
    assert result is not None
    assert result.reward is None


def test_of_several_rewards_the_one_named_reward_counts(tmp_path: Path) -> None:
    rewards = {"style": 1, "reward": 0.5}
    result = read_trial_result(result_in(tmp_path, verifier_result={"rewards": rewards}))
    assert result is not None
    assert result.reward == 0.5


def test_an_agent_that_ran_out_of_time_and_was_graded_has_a_result(tmp_path: Path) -> None:
    graded = {"verifier_result": {"rewards": {"reward": 1.0}}, "exception_info": raised("AgentTimeoutError")}
    result = read_trial_result(result_in(tmp_path, **graded))
    assert result is not None
    assert (result.reward, result.cause) == (1.0, None)


def test_an_agent_that_ran_out_of_time_and_was_not_graded_has_none(tmp_path: Path) -> None:
    result = read_trial_result(result_in(tmp_path, exception_info=raised("AgentTimeoutError")))
    assert result is not None
    assert (result.reward, result.cause) == (None, Cause.AGENT_BUDGET)


def test_a_reward_after_a_provider_failure_does_not_measure_the_agent(tmp_path: Path) -> None:
    graded = {"verifier_result": {"rewards": {"reward": 0.0}}, "exception_info": raised("RateLimitError", "429\nmore")}
    result = read_trial_result(result_in(tmp_path, **graded))
    assert result is not None
    assert (result.reward, result.cause, result.note) == (None, Cause.MODEL_PROVIDER, "RateLimitError: 429")


def test_the_full_task_id_comes_from_the_task_folder(tmp_path: Path) -> None:
    long_id = "an-owner__a-repository-with-a-very-long-name-12345"
    result = read_trial_result(result_in(tmp_path, config={"task": {"path": f"/staged/py-cc/{long_id}"}}))
    assert result is not None
    assert result.task_id == long_id


def test_an_unknown_exception_is_unclassified() -> None:
    assert cause_of("SomethingNew") is Cause.UNCLASSIFIED


def test_the_note_of_a_failed_compose_command_is_what_it_said_last(tmp_path: Path) -> None:
    message = (
        "Docker compose command failed for environment x. Command: docker compose --project-name x -f /tmp/y build. "
        "Return code: 17. Stdout: #5 [2/3] RUN false\n#5 ERROR\nfailed to solve: exit code: 9\n. Stderr: None. "
    )
    result = read_trial_result(result_in(tmp_path, exception_info=raised("RuntimeError", message)))
    assert result is not None
    assert (result.cause, result.note) == (Cause.SANDBOX, "RuntimeError: failed to solve: exit code: 9")


def test_a_trial_that_found_its_job_stopped_is_cancelled_and_noted_as_not_begun(tmp_path: Path) -> None:
    files = Root(tmp_path).job("j")
    files.trial("t__abc").mkdir(parents=True)
    error = {"exception_type": STOPPED_ERROR, "exception_message": "/x/stop asks for no more trials"}
    result = read_trial_result(result_in(files.trial("t__abc"), exception_info=error))
    assert result is not None
    ended = settle_trial(files, "t", result, cancelled_as=Cause.CANCELLED)
    assert (ended.cause, ended.note) == (Cause.CANCELLED, NOT_BEGUN_NOTE)


def test_a_trial_that_was_ended_for_want_of_a_record_counts_against_nobody(tmp_path: Path) -> None:
    files = Root(tmp_path).job("j")
    files.trial("t__abc").mkdir(parents=True)
    result = read_trial_result(result_in(files.trial("t__abc"), exception_info=raised("CancelledError", "")))
    assert result is not None
    ended = settle_trial(files, "t", result, cancelled_as=Cause.CAPTURE)
    assert (ended.cause, ended.kind) == (Cause.CAPTURE, AttemptKind.FREE)
    assert ended.note == "ended because the proxy no longer recorded model calls"


def test_a_trial_that_outlived_harbors_event_loop_was_cancelled(tmp_path: Path) -> None:
    ended = read_trial_result(
        result_in(tmp_path, exception_info=raised("RuntimeError", "Event loop is closed"), agent_execution={})
    )
    other = read_trial_result(result_in(tmp_path, exception_info=raised("RuntimeError"), agent_execution={}))
    assert ended is not None
    assert other is not None
    assert (ended.cause, other.cause) == (Cause.CANCELLED, Cause.UNCLASSIFIED)
