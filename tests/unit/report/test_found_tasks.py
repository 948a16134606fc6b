import pytest

from trajgen_assets.core.errors import ImportRefusedError
from trajgen_assets.core.keys import TaskKey
from trajgen_assets.core.ledger import TaskStatus
from trajgen_assets.core.ledger.published import read_published
from trajgen_assets.core.report.found_tasks import Resolver, found_tasks

OWNERS = {"a": frozenset({"py-cc"}), "b": frozenset({"py-cc", "rust"})}
DATASETS = ["py-cc", "rust"]


def test_a_bare_id_is_of_the_one_data_set_that_lists_it() -> None:
    assert Resolver("main", owners=OWNERS, datasets=DATASETS)("a") == TaskKey("main", "py-cc", "a")


@pytest.mark.parametrize(("task_id", "why"), [("b", "py-cc and rust list it"), ("unknown", "no manifest lists it")])
def test_what_is_not_plain_is_refused(task_id: str, why: str) -> None:
    with pytest.raises(ImportRefusedError, match=why):
        Resolver("main", owners=OWNERS, datasets=DATASETS)(task_id)


def test_a_person_decides_with_a_data_set_but_not_against_the_manifests() -> None:
    resolve = Resolver("main", "rust", OWNERS, DATASETS)
    assert resolve("b").dataset == "rust"
    assert resolve("unknown").dataset == "rust"
    with pytest.raises(ImportRefusedError, match="it is listed by py-cc"):
        resolve("a")


def test_an_id_that_no_manifest_lists_is_of_the_only_data_set() -> None:
    assert Resolver("main", datasets=["py-cc"])("unknown").dataset == "py-cc"


def found(text: str, *, edited: bool = False) -> dict[str, TaskStatus]:
    resolve = Resolver("main", owners=OWNERS, datasets=DATASETS)
    tasks = found_tasks(read_published(text.encode(), "x"), resolve, "x", edited=edited)
    return {task.key.partition: task.status for task in tasks}


def test_every_ambiguous_id_is_named_with_its_line() -> None:
    text = "runs:\n- {task_id: b, status: done}\n- {task_id: zzz, status: done}\n- {task_id: a, status: done}\n"
    with pytest.raises(ImportRefusedError, match=r"line 2: .*; line 3: .*--dataset"):
        found(text)


def test_an_entry_that_names_its_data_set_and_campaign_needs_no_manifest() -> None:
    text = "runs: [{task_id: zzz, status: done, dataset: go, campaign: other}]"
    assert found(text) == {"go/zzz@other": TaskStatus.DONE}


def test_of_several_runs_of_a_task_the_one_that_says_most_counts() -> None:
    text = "runs: [{task_id: a, status: done}, {task_id: a, status: failed}, {task_id: a, status: pending}]"
    assert found(text) == {"py-cc/a": TaskStatus.DONE}
