"""A retry with more memory runs a copy of the task that differs in one line; the task itself stays as recorded."""

import tomllib
from pathlib import Path

import pytest

from trajgen_assets.core.intake.digest import task_digest
from trajgen_assets.core.intake.task import inspect_task
from trajgen_assets.core.keys import TaskKey
from trajgen_assets.core.paths import PROJECT
from trajgen_assets.core.rollout.memory import as_given, raised_memory, with_more_memory
from trajgen_assets.core.rollout.record import StagedTask

TASK = PROJECT / "examples" / "swe_tasks" / "py-cc" / "fernhollow__stanzaconf-87"


@pytest.fixture
def staged() -> StagedTask:
    return StagedTask(TaskKey("main", "py-cc", TASK.name), inspect_task(TASK), task_digest(TASK))


def test_the_copy_differs_from_the_task_in_its_memory_alone(staged: StagedTask, tmp_path: Path) -> None:
    given = with_more_memory(staged, 2, tmp_path / "copies")
    assert (given.memory_mb, given.digest) == (2048, task_digest(TASK))
    assert given.copy_digest == task_digest(given.folder.folder) != given.digest
    before, after = TASK.joinpath("task.toml").read_text(), given.folder.folder.joinpath("task.toml").read_text()
    assert after == before.replace("memory_mb = 1024", "memory_mb = 2048")
    (given.folder.folder / "task.toml").write_text(before)
    assert task_digest(given.folder.folder) == given.digest


def test_what_a_dead_driver_gave_a_task_is_found_again(staged: StagedTask, tmp_path: Path) -> None:
    given = with_more_memory(staged, 1.5, tmp_path)
    assert as_given(staged, tmp_path).memory_mb == given.memory_mb == 1536
    assert as_given(staged, tmp_path / "none") == staged


@pytest.mark.parametrize(
    ("text", "memory_mb"),
    [
        ("[environment]\nmemory_mb = 1000 # tight\ncpus = 1\n", 3000),
        ("[agent]\nmemory_mb = 5\n[ environment ]\n  memory='2G'\n", 6144),
        ('[environment]\nmemory = "1000M"\nmemory_mb = 1000\n', 3000),
    ],
)
def test_memory_is_raised_where_task_toml_sets_it(text: str, memory_mb: int) -> None:
    raised = raised_memory(text, 3)
    assert raised is not None
    assert raised[1] == memory_mb
    assert tomllib.loads(raised[0])["environment"]["memory_mb"] == memory_mb
    assert "memory" not in tomllib.loads(raised[0])["environment"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[environment]\ncpus = 1\n",
        "environment = {memory_mb = 1000}\n",
        "environment.memory_mb = 1000\n",
        "[environment]\nmemory_mb = 'much'\n",
        "[environment]\nnote = '''\nmemory_mb = 7\n'''\nmemory_mb = 1000\n",
    ],
)
def test_where_no_line_of_its_own_sets_it_nothing_is_changed(text: str) -> None:
    assert raised_memory(text, 2) is None


def test_a_task_without_a_limit_is_rolled_out_as_it_is(staged: StagedTask, tmp_path: Path) -> None:
    folder = tmp_path / "t"
    folder.mkdir()
    (folder / "task.toml").write_text("")
    unlimited = StagedTask(staged.key, inspect_task(folder), "digest")
    assert with_more_memory(unlimited, 2, tmp_path / "copies") is unlimited
