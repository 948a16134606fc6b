import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.intake.conftest import write_task
from trajgen_assets.core.errors import ManifestMissingError
from trajgen_assets.core.intake.dataset import stage_dataset
from trajgen_assets.core.intake.source import StagingMode, TaskSource


def source_of(folder: Path, ids: list[str], *, staging: StagingMode = "copy") -> TaskSource:
    folder.mkdir(exist_ok=True)
    manifest = folder / "verifiable_tasks.txt"
    manifest.write_text("".join(f"{each}\n" for each in ids))
    return TaskSource("py-cc", folder, manifest, staging)


@pytest.fixture
def upstream(tmp_path: Path) -> Path:
    for name in ("a-1", "a-2", "a-3"):
        write_task(tmp_path / "upstream" / name)
    return tmp_path / "upstream"


def standing(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "py-cc").iterdir() if not path.name.startswith("."))


def test_a_missing_manifest_changes_nothing(upstream: Path, tmp_path: Path) -> None:
    source = source_of(upstream, ["a-1"])
    stage_dataset(source, tmp_path / "tasks")
    source.manifest.unlink()
    with pytest.raises(ManifestMissingError):
        stage_dataset(source, tmp_path / "tasks")
    assert standing(tmp_path / "tasks") == ["a-1"]


def test_only_listed_tasks_are_staged_and_a_bad_one_keeps_none_back(upstream: Path, tmp_path: Path) -> None:
    (upstream / "a-2" / "tests" / "test.sh").unlink()
    report = stage_dataset(source_of(upstream, ["a-1", "a-2", "a-9", "../upstream"]), tmp_path / "tasks")
    assert report.staged == ("a-1",)
    assert report.waiting == {"a-2": "lacks tests/test.sh", "a-9": "lacks the folder"}
    assert [each.text for each in report.problems] == ["../upstream"]
    assert standing(tmp_path / "tasks") == ["a-1"]


def test_a_waiting_task_is_staged_as_soon_as_it_is_complete(upstream: Path, tmp_path: Path) -> None:
    shutil.move(upstream / "a-2", tmp_path / "later")
    source = source_of(upstream, ["a-1", "a-2"])
    stage_dataset(source, tmp_path / "tasks")
    shutil.move(tmp_path / "later", upstream / "a-2")
    report = stage_dataset(source, tmp_path / "tasks")
    assert (report.staged, report.unchanged, report.waiting) == (("a-2",), ("a-1",), {})


def test_a_manifest_that_grew_and_shrank_changes_exactly_the_difference(upstream: Path, tmp_path: Path) -> None:
    stage_dataset(source_of(upstream, ["a-1", "a-2"]), tmp_path / "tasks")
    report = stage_dataset(source_of(upstream, ["a-2", "a-3"]), tmp_path / "tasks")
    assert (report.staged, report.unchanged, report.removed) == (("a-3",), ("a-2",), ("a-1",))
    assert standing(tmp_path / "tasks") == ["a-2", "a-3"]


def test_a_foreign_folder_among_the_staged_survives_every_manifest(upstream: Path, tmp_path: Path) -> None:
    (tmp_path / "tasks" / "py-cc" / "mine").mkdir(parents=True)
    stage_dataset(source_of(upstream, ["a-1"]), tmp_path / "tasks")
    report = stage_dataset(source_of(upstream, []), tmp_path / "tasks")
    assert report.removed == ("a-1",)
    assert standing(tmp_path / "tasks") == ["mine"]


def test_a_task_in_use_is_neither_replaced_nor_removed(upstream: Path, tmp_path: Path) -> None:
    stage_dataset(source_of(upstream, ["a-1", "a-2"]), tmp_path / "tasks")
    (upstream / "a-1" / "instruction.md").write_text("changed")
    report = stage_dataset(source_of(upstream, ["a-1"]), tmp_path / "tasks", held={"a-1", "a-2"})
    assert (report.staged, report.removed, report.waiting) == ((), (), {"a-1": "is in use"})
    assert (tmp_path / "tasks/py-cc/a-1/instruction.md").read_text() != "changed"
    assert standing(tmp_path / "tasks") == ["a-1", "a-2"]


def test_used_in_place_nothing_is_staged_and_what_was_is_removed(upstream: Path, tmp_path: Path) -> None:
    stage_dataset(source_of(upstream, ["a-1"]), tmp_path / "tasks")
    report = stage_dataset(source_of(upstream, ["a-1", "a-2"], staging="in_place"), tmp_path / "tasks")
    assert (report.unchanged, report.removed) == (("a-1", "a-2"), ("a-1",))
    assert standing(tmp_path / "tasks") == []


@settings(deadline=None)
@given(st.lists(st.sampled_from(["a-1", "a-2", "..", "../..", ".", "a-1/../../x", "/tmp", "A-1", ".staged", "~"])))
def test_no_manifest_writes_outside_the_staging_folder(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str]
) -> None:
    root = tmp_path_factory.getbasetemp() / "confined"
    for name in ("a-1", "a-2"):
        if not (root / "upstream" / name).exists():
            write_task(root / "upstream" / name)
    report = stage_dataset(source_of(root / "upstream", lines), root / "tasks")
    assert set(standing(root / "tasks") if (root / "tasks").exists() else []) <= {"a-1", "a-2", "A-1"}
    assert {path.name for path in root.iterdir()} <= {"upstream", "tasks"}
    assert {path.name for path in (root / "upstream").iterdir()} == {"a-1", "a-2", "verifiable_tasks.txt"}
    assert set(report.staged) | set(report.unchanged) | set(report.waiting) <= set(lines)
