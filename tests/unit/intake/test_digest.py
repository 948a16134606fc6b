import ast
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from trajgen_assets.core.intake import digest as module
from trajgen_assets.core.intake.digest import UnusableTreeError, task_digest


def test_a_missing_folder_has_no_digest(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        task_digest(tmp_path / "nowhere")


def test_a_pipe_is_refused_without_hanging(task: Path) -> None:
    os.mkfifo(task / "tests" / "pipe")
    with pytest.raises(UnusableTreeError, match="tests/pipe"):
        task_digest(task)


def test_the_module_needs_the_standard_library_only() -> None:
    tree = ast.parse(Path(module.__file__).read_text())
    imported = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in imported} <= sys.stdlib_module_names


def swap(task: Path) -> None:
    (task / "task.toml").rename(task / "x")
    (task / "instruction.md").rename(task / "task.toml")
    (task / "x").rename(task / "instruction.md")


def add_compiled_file(task: Path) -> None:
    (task / "__pycache__").mkdir()
    (task / "__pycache__" / "x.pyc").touch()


def turn_into_link(task: Path) -> None:
    shutil.copy(task / "instruction.md", task / "tests" / "i")
    (task / "instruction.md").unlink()
    (task / "instruction.md").symlink_to("tests/i")


CHANGES: dict[str, Callable[[Path], object]] = {
    "one byte": lambda task: (task / "tests" / "test.sh").write_text("#!/bin/sh\nexit 1\n"),
    "execute bit": lambda task: (task / "tests" / "test.sh").chmod(0o644),
    "new file": lambda task: (task / "extra").touch(),
    "new empty folder": lambda task: (task / "extra").mkdir(),
    "compiled file": add_compiled_file,
    "renamed file": lambda task: (task / "instruction.md").rename(task / "instructions.md"),
    "two contents swapped": swap,
    "file becomes a link to equal content": turn_into_link,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_every_change_of_content_changes_it(task: Path, change: Callable[[Path], object]) -> None:
    before = task_digest(task)
    change(task)
    assert task_digest(task) != before


def test_the_target_of_a_link_counts_and_is_not_followed(task: Path) -> None:
    (task / "link").symlink_to("/nowhere/a")
    before = task_digest(task)
    (task / "link").unlink()
    (task / "link").symlink_to("/nowhere/b")
    assert task_digest(task) != before


def test_a_copy_elsewhere_with_other_times_and_modes_has_the_same(task: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere"
    shutil.copytree(task, copy, copy_function=shutil.copy)
    (copy / "task.toml").chmod(0o600)
    os.utime(copy / "task.toml", (0, 0))
    (tmp_path / "link").symlink_to(copy)
    assert task_digest(task) == task_digest(copy) == task_digest(tmp_path / "link")


def test_a_name_that_is_no_text_counts_too(task: Path) -> None:
    before = task_digest(task)
    Path(os.fsdecode(os.fsencode(task) + b"/\xff\n")).touch()
    assert task_digest(task) != before


def test_it_is_the_same_on_every_machine(tmp_path: Path) -> None:
    (tmp_path / "t" / "a").mkdir(parents=True)
    (tmp_path / "t" / "a" / "f").write_bytes(b"x")
    (tmp_path / "t" / "a-b").write_bytes(b"")
    assert task_digest(tmp_path / "t") == "aedd48d5f92bff11a95e71bc41780c88c26ac021d236236037ea3231ac68d157"
