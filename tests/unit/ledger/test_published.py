from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.ledger.twins import graded, key, listed, lost, register, settle, start
from trajgen_assets.core.errors import ImportRefusedError
from trajgen_assets.core.ledger import Ledger, TaskStatus
from trajgen_assets.core.ledger.published import as_json, read_published
from trajgen_assets.core.ledger.view import render

RUNS = """\
description: consumption of the tasks
runs:
- task_id: pallets__flask-1
  status: done
  submitted_at: 2026-03-01T10:00:00Z
  completed_at: 2026-03-01 11:30:00
  trajectory_path: artifacts/jobs/j/pallets__flask-1__a/agent/litellm-trajectory.jsonl
  reward: 1.0
  note: null
- {task_id: pallets__flask-2, status: failed, completed_at: yesterday evening, note: OOM, reward: ~}
- {task_id: 1e3, status: pending}
"""
TASKS = """\
run_id: run-7
target_tasks: 40
last_checked: 2026-03-01
tasks:
  pallets__flask-1: {status: done, reward: 0.0, error: AgentTimeoutError}
  pallets__flask-2: pending
  2026-01-01: {status: skipped, attempts: 2, unknown_field: {a: [1, 2]}}
"""


def read(text: str) -> list[Any]:
    return read_published(text.encode(), "ledger.yaml")


def test_the_flat_list_of_the_earlier_system_is_read() -> None:
    done, failed, pending = read(RUNS)
    assert (done.task_id, done.status, done.reward, done.line) == ("pallets__flask-1", TaskStatus.DONE, 1.0, 3)
    assert done.trajectory_path == "jobs/j/pallets__flask-1__a/agent/litellm-trajectory.jsonl"
    assert done.completed_at == datetime(2026, 3, 1, 11, 30, tzinfo=UTC)
    assert (failed.reward, failed.completed_at, failed.note) == (None, None, "OOM; completed_at: yesterday evening")
    assert (pending.task_id, pending.dataset, pending.n_attempts) == ("1e3", None, None)


def test_the_mapping_by_id_is_read_too() -> None:
    done, pending, skipped = read(TASKS)
    assert (done.task_id, done.status, done.reward, done.note) == (
        "pallets__flask-1",
        TaskStatus.DONE,
        0.0,
        "AgentTimeoutError",
    )
    assert (pending.task_id, pending.status) == ("pallets__flask-2", TaskStatus.PENDING)
    assert (skipped.task_id, skipped.status) == ("2026-01-01", TaskStatus.SKIPPED)


def test_our_own_view_is_read_back_as_it_was(ledger: Ledger) -> None:
    register(ledger, "a", "b", listed("c", reason='no folder: "c"'), "1_000")
    lease = start(ledger, "job-1", "run-1", "a", "b")
    settle(ledger, lease, "a", graded("a__1", 0.0))
    settle(ledger, lease, "b", lost("b__1"))
    ledger.skip([key("1_000")], "slow:\nvery # slow")
    found = read_published(render(ledger), "view")
    assert [(each.task_id, each.status.value, each.reward, each.note, each.n_attempts) for each in found] == [
        ("a", "done", 0.0, None, 1),
        ("b", "pending", None, None, 1),
        ("c", "pending", None, 'no folder: "c"', 0),
        ("1_000", "skipped", None, "slow:\nvery # slow", 0),
    ]
    assert {(each.dataset, each.campaign) for each in found} == {("py-cc", "main")}


def test_every_fault_is_named_with_its_line() -> None:
    text = """\
runs:
- {task_id: a, status: dnoe}
- {status: done}
- {task_id: ../b, status: done}
- {task_id: c, status: done, reward: high}
- {task_id: d}
- [task_id, e]
"""
    with pytest.raises(ImportRefusedError) as refused:
        read(text)
    said = str(refused.value)
    assert "line 2: status 'dnoe' is not known; the nearest is done" in said
    assert "line 3: it has no task_id" in said
    assert "line 4: '../b' cannot be a task id" in said
    assert "line 5: reward 'high' is no number" in said
    assert "line 6: no status" in said
    assert "line 7: this is no entry with fields" in said


@pytest.mark.parametrize("word", ["Done", "DONE", "complete", "x", "0"])
def test_a_status_is_never_guessed(word: str) -> None:
    with pytest.raises(ImportRefusedError, match="line 1: status"):
        read(f"runs: [{{task_id: a, status: {word}}}]")


@pytest.mark.parametrize(
    "text",
    ["", "# nothing", "runs: []\x00", "- a\n- b", "runs: {a: done}", "tasks: [a]", "runs:\n  - {a: [}", "runs: *x"],
)
def test_what_is_no_published_ledger_is_refused(text: str) -> None:
    with pytest.raises(ImportRefusedError, match="no published ledger"):
        read(text)


def test_entries_grouped_by_job_are_refused_and_not_taken_for_none() -> None:
    with pytest.raises(ImportRefusedError, match="line 2: it has no task_id"):
        read("runs:\n- {job: j, tasks: [{task_id: a, status: done}]}")


def test_an_id_that_is_there_twice_in_a_mapping_is_refused() -> None:
    with pytest.raises(ImportRefusedError, match="line 3: a is there twice"):
        read("tasks:\n  a: done\n  a: failed\n")


@pytest.mark.parametrize("text", ["[" * 100_000, "runs: " + "[" * 2000, "{a: " * 5000])
def test_deep_nesting_is_refused_and_does_no_harm(text: str) -> None:
    with pytest.raises(ImportRefusedError):
        read(text)


def test_an_alias_bomb_is_no_bomb() -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60)]
    assert read("\n".join([*lines, "runs: []"])) == []


@given(st.text() | st.binary().map(lambda data: data.decode("latin-1")))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        read_published(text.encode("utf-8", "surrogatepass"), "x")
    except ImportRefusedError:
        return


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.dates()
values = st.recursive(
    scalars, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=8), v, max_size=3), max_leaves=8
)
names = st.sampled_from(["task_id", "status", "reward", "attempts", "dataset", "campaign", "note", "completed_at"])
entry = st.dictionaries(names, values | st.sampled_from(["done", "failed", "pending", "a__b-1"]), max_size=8)


@given(st.lists(entry, max_size=4), st.booleans())
def test_entries_of_any_shape_are_read_or_refused(entries: list[Any], by_id: bool) -> None:
    tasks = {str(n): each for n, each in enumerate(entries)}
    text = yaml.safe_dump({"tasks": tasks} if by_id else {"runs": entries}, allow_unicode=True)
    try:
        found = read(text)
    except ImportRefusedError:
        return
    assert len(found) == len(entries)


def test_the_view_as_json_says_the_same(ledger: Ledger) -> None:
    register(ledger, "1e3", "a")
    assert yaml.safe_load(as_json(render(ledger))) == yaml.safe_load(render(ledger))
