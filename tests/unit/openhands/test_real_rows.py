"""Real rows, from `output.jsonl` to training data: finished, finished with an error, stopped at the limit."""

import json
from pathlib import Path

import pytest

from tests.unit.openhands.real_rows import ALL_ROWS, job_of_real_rows, real_rows
from tests.unit.sft.twin import lines_of
from trajgen_assets.core.openhands.history import dialogue_of, openhands_version, tools_of
from trajgen_assets.core.openhands.metrics import metrics_of
from trajgen_assets.core.openhands.rows import RowClass, judge_row
from trajgen_assets.core.rollout.trials import load_trials
from trajgen_assets.core.sft.convert import convert_job
from trajgen_assets.core.sft.filters import pairing_fault, role_fault

CLASSES = (RowClass.FINISHED, RowClass.FINISHED, RowClass.ITERATION_LIMIT)
N_ANSWERS = (23, 33, 49)
N_LOST = (0, 1, 1)


def test_each_is_a_row_of_its_class_with_a_patch_that_git_takes() -> None:
    rows = real_rows()
    assert tuple(judge_row(row).row_class for row in rows) == CLASSES
    for row in rows:
        assert row.patch.startswith("diff --git a/")
        assert row.patch.endswith("\n")
        assert row.tests("FAIL_TO_PASS") == row.tests("PASS_TO_PASS") == []
        assert openhands_version(row) == "0.35.0"


@pytest.mark.parametrize("number", range(3))
def test_each_history_becomes_a_dialogue_with_every_answer_that_was_kept(number: int) -> None:
    row = real_rows()[number]
    dialogue = dialogue_of(row)
    lost = set(metrics_of(row.metrics).all_ids) - set(dialogue.response_ids)
    assert (len(dialogue.turns), dialogue.n_lost_answers, len(lost)) == (
        N_ANSWERS[number],
        N_LOST[number],
        N_LOST[number],
    )
    assert [tool["function"]["name"] for tool in tools_of(row)] == [
        "execute_bash",
        "think",
        "finish",
        "str_replace_editor",
    ]
    assert not any("_diff_cache" in str(message) for message in dialogue.messages)


def test_each_becomes_training_data(tmp_path: Path) -> None:
    job = job_of_real_rows(tmp_path)
    receipt = convert_job(job, ALL_ROWS, n_workers=0)
    rows = lines_of(receipt.im)
    assert lines_of(job.sft / "rejected.jsonl") == []
    assert len(rows) == len(json.loads(receipt.lf.read_bytes())) == 3
    for row, n_answers in zip(rows, N_ANSWERS, strict=True):
        messages = row["messages"]
        assert role_fault(messages) is None
        assert pairing_fault(messages) is None
        assert sum(message["role"] == "assistant" for message in messages) == n_answers
        assert {tool["name"] for tool in row["tools"]} == {"execute_bash", "think", "finish", "str_replace_editor"}
    last_calls = [row["messages"][-1]["tool_calls"][0]["function"]["name"] for row in rows]
    assert last_calls == ["finish", "finish", "execute_bash"]


def test_an_answer_that_is_lost_cuts_the_capture_and_one_that_is_not_leaves_it_whole(tmp_path: Path) -> None:
    entries = load_trials(job_of_real_rows(tmp_path).trials).trials
    assert [entry.capture for entry in entries] == ["complete", "cut", "cut"]
    assert all(entry.accepted and (entry.n_input_tokens or 0) > 400_000 for entry in entries)
    assert [entry.started_at is not None and entry.duration_s is not None for entry in entries] == [True] * 3
