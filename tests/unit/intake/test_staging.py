import os
import shutil
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from trajgen_assets.core.errors import TaskChangedError, TaskError
from trajgen_assets.core.intake.digest import task_digest
from trajgen_assets.core.intake.staging import stage_task, staged_ids, unstage


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "tasks" / "py-cc" / "tox-dev__tox-3813"


def leftovers(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir() if path.name not in (target.name, ".staged"))


def change(task: Path) -> None:
    (task / "instruction.md").write_text("Something else.\n")


def test_a_missing_source_is_an_error(tmp_path: Path, target: Path) -> None:
    with pytest.raises(TaskError, match="there is no such task folder"):
        stage_task(tmp_path / "nowhere", target)


def test_content_that_is_not_the_expected_is_refused_and_the_earlier_stage_stands(task: Path, target: Path) -> None:
    first = stage_task(task, target)
    change(task)
    with pytest.raises(TaskChangedError, match="not the recorded one"):
        stage_task(task, target, expected_digest=first.digest)
    assert task_digest(target) == first.digest


def test_a_folder_that_was_not_staged_is_neither_replaced_nor_removed(task: Path, target: Path) -> None:
    target.mkdir(parents=True)
    (target / "precious").touch()
    with pytest.raises(TaskError, match="in the way"):
        stage_task(task, target)
    with pytest.raises(TaskError, match="in the way"):
        stage_task(task, target, mode="link")
    assert not unstage(target)
    assert [path.name for path in target.iterdir()] == ["precious"]
    assert leftovers(target) == []


def test_an_equal_folder_that_was_not_staged_is_used_and_never_removed(task: Path, target: Path) -> None:
    shutil.copytree(task, target)
    assert not stage_task(task, target).changed
    assert not unstage(target)
    assert target.is_dir()


FULL_DISK = """
import sys
from pathlib import Path
from trajgen_assets.core.errors import RequirementError
from trajgen_assets.core.intake.staging import stage_task
try:
    stage_task(Path(sys.argv[1]), Path(sys.argv[2]))
except RequirementError as error:
    print(error)
    sys.exit(7)
"""


def test_a_full_disk_leaves_the_earlier_stage_untouched(task: Path, target: Path) -> None:
    first = stage_task(task, target)
    (task / "large").write_bytes(b"x" * 200_000)
    limited = [
        "bash",
        "-c",
        'ulimit -f 64; exec "$@"',
        "-",
        sys.executable,
        "-B",
        "-c",
        FULL_DISK,
        str(task),
        str(target),
    ]
    child = subprocess.run(limited, capture_output=True, text=True, timeout=60, check=False)
    assert (child.returncode, "no room" in child.stdout) == (7, True), child
    assert task_digest(target) == first.digest
    assert leftovers(target) == []


def test_a_crash_between_the_two_renames_is_undone(task: Path, target: Path) -> None:
    first = stage_task(task, target)
    os.replace(target, target.with_name(f".{target.name}.old"))  # where a stager died: old is away, new not in
    shutil.copytree(task, target.with_name(f".{target.name}.new"))
    again = stage_task(task, target)
    assert (again.changed, again.digest) == (False, first.digest)
    assert leftovers(target) == []


def test_a_crash_after_the_second_rename_is_tidied(task: Path, target: Path) -> None:
    stage_task(task, target)
    shutil.copytree(task, target.with_name(f".{target.name}.old"))
    assert not stage_task(task, target).changed
    assert leftovers(target) == []


def test_a_task_that_changes_while_it_is_staged_is_never_staged_torn(task: Path, target: Path) -> None:
    stop = threading.Event()

    def rewrite() -> None:
        n = 0
        while not stop.wait(0.0005):
            n += 1
            (task / "instruction.md").write_text(f"{n}\n" * 500)

    writer = threading.Thread(target=rewrite, daemon=True)
    writer.start()
    refused = 0
    try:
        for _ in range(40):
            try:
                staged = stage_task(task, target)
            except TaskChangedError:
                refused += 1
            else:
                assert task_digest(target) == staged.digest
    finally:
        stop.set()
        writer.join()
    assert refused
    assert leftovers(target) == []


def test_stagers_at_the_same_time_leave_one_whole_copy(task: Path, target: Path) -> None:
    changed: list[bool] = []
    stagers = [threading.Thread(target=lambda: changed.append(stage_task(task, target).changed)) for _ in range(6)]
    for each in stagers:
        each.start()
    for each in stagers:
        each.join()
    assert sorted(changed) == [False] * 5 + [True]
    assert task_digest(target) == task_digest(task)


def test_links_are_copied_as_links_and_never_followed(task: Path, target: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (task / "link").symlink_to(tmp_path / "secret")
    (task / "folder").symlink_to(tmp_path)
    stage_task(task, target)
    assert (target / "link").is_symlink()
    assert (target / "folder").is_symlink()


def test_staging_again_does_nothing_and_a_change_replaces_the_copy(task: Path, target: Path) -> None:
    assert stage_task(task, target).changed
    inode = target.stat().st_ino
    assert not stage_task(task, target).changed
    assert target.stat().st_ino == inode
    change(task)
    assert stage_task(task, target).changed
    assert (target / "instruction.md").read_text() == "Something else.\n"


def test_a_copy_that_was_tampered_with_is_made_again(task: Path, target: Path) -> None:
    stage_task(task, target)
    change(target)
    assert stage_task(task, target).changed
    assert task_digest(target) == task_digest(task)


def test_a_copy_is_independent_of_its_source(task: Path, target: Path) -> None:
    staged = stage_task(task, target)
    shutil.rmtree(task)
    assert task_digest(staged.folder) == staged.digest


def test_a_link_points_at_the_source_whatever_stood_there(task: Path, target: Path) -> None:
    stage_task(task, target)
    assert stage_task(task, target, mode="link").changed
    assert target.readlink() == task
    assert not stage_task(task, target, mode="link").changed
    assert stage_task(task, target, mode="copy").changed
    assert not target.is_symlink()


def test_in_place_touches_nothing(task: Path, target: Path) -> None:
    staged = stage_task(task, target, mode="in_place")
    assert (staged.folder, staged.changed) == (task, False)
    assert not target.parent.exists()


def test_unstaging_a_link_leaves_its_source(task: Path, target: Path) -> None:
    stage_task(task, target, mode="link")
    assert unstage(target)
    assert task.is_dir()
    assert not os.path.lexists(target)
    assert staged_ids(target.parent) == []


def test_read_only_folders_can_be_staged_replaced_and_removed(task: Path, target: Path) -> None:
    (task / "tests").chmod(0o555)
    stage_task(task, target)
    change(task)
    assert stage_task(task, target).changed
    assert unstage(target)
    assert leftovers(target) == []


def outside(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if root / "stage" not in (path, *path.parents))


@example("../../ab")
@example("..")
@settings(deadline=None)
@given(st.text(alphabet=st.sampled_from("./\\ab~\x00 "), min_size=1, max_size=12))
def test_no_id_leads_out_of_the_staging_folder(tmp_path_factory: pytest.TempPathFactory, task_id: str) -> None:
    root = tmp_path_factory.getbasetemp() / "hostile"
    source = root / "source"
    source.mkdir(parents=True, exist_ok=True)
    before = outside(root)
    with suppress(TaskError, ValueError):
        stage_task(source, root / "stage" / "set" / task_id)
    assert outside(root) == before
