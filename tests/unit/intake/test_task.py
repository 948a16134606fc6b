import json
import os
from pathlib import Path

import pytest

from tests.unit.intake.conftest import write_task
from trajgen_assets.core.intake.task import inspect_task


def test_a_missing_folder_is_said_and_not_raised(tmp_path: Path) -> None:
    look = inspect_task(tmp_path / "nowhere")
    assert not look.is_usable
    assert look.note == "lacks the folder"


@pytest.mark.parametrize(
    ("removed", "missing"),
    [
        ("task.toml", "task.toml"),
        ("instruction.md", "instruction.md"),
        ("tests/test.sh", "tests/test.sh"),
        ("environment/Dockerfile", "environment/Dockerfile"),
    ],
)
def test_each_required_part_is_missed(task: Path, removed: str, missing: str) -> None:
    (task / removed).unlink()
    assert inspect_task(task).missing == (missing,)


def test_an_image_or_a_compose_file_stands_for_a_dockerfile(tmp_path: Path) -> None:
    by_image = write_task(tmp_path / "a", toml='[environment]\ndocker_image = "some/image:1"\n')
    (by_image / "environment" / "Dockerfile").unlink()
    by_compose = write_task(tmp_path / "b")
    (by_compose / "environment" / "Dockerfile").rename(by_compose / "environment" / "docker-compose.yaml")
    assert inspect_task(by_image).is_usable
    assert inspect_task(by_compose).is_usable


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("task.toml", b"[metadata\n", "task.toml is not TOML"),
        ("task.toml", b"\xff", "task.toml is not UTF-8"),
        (
            "task.toml",
            b'[verifier.env]\nA = "1"\nB = "${HOST_KEY}"\n',
            "[verifier.env] B asks for a variable of the host",
        ),
        ("task.toml", b'[environment]\nenv = {A = "${K:-x}"}\n', "[environment.env] A asks for a variable of the host"),
        ("task.toml", b'[[steps]]\n[steps.verifier.env]\nA = "${K}"\n', "[steps.verifier.env] A asks for a variable"),
        ("task.toml", b"[agent]\ntimeout_sec = -1\n", "[agent] timeout_sec is not a positive number"),
        ("task.toml", b"[verifier]\ntimeout_sec = nan\n", "[verifier] timeout_sec is not a positive number"),
        ("task.toml", b"[environment]\nbuild_timeout_sec = true\n", "build_timeout_sec is not a positive number"),
        ("instruction.md", b" \n\t\n", "instruction.md is empty"),
        ("instruction.md", b"\xff\xfe", "instruction.md is not UTF-8"),
        ("instruction.md", b"x" * (5 << 20), "instruction.md is larger than 4 MiB"),
    ],
)
def test_what_is_there_and_unusable_is_refused_with_its_reason(task: Path, name: str, data: bytes, reason: str) -> None:
    (task / name).write_bytes(data)
    look = inspect_task(task)
    assert not look.is_usable
    assert reason in look.note


@pytest.mark.parametrize("target", ["/etc/passwd", "../../outside", "../../tox-dev__tox-38130"])
def test_a_link_that_leaves_the_folder_is_refused(task: Path, target: str) -> None:
    (task / "tests" / "link").symlink_to(target)
    assert inspect_task(task).refused == ("tests/link is a link that leads out of the task",)


def test_a_link_that_leaves_by_way_of_another_link_is_refused(task: Path) -> None:
    (task / "deep" / "er").mkdir(parents=True)
    (task / "near").symlink_to("deep/er")
    assert inspect_task(task).is_usable
    (task / "far").symlink_to("near/../../..")
    assert inspect_task(task).refused == ("far is a link that leads out of the task",)


def test_an_absolute_link_is_refused_even_into_the_folder_since_a_copy_would_point_at_the_source(task: Path) -> None:
    (task / "link").symlink_to(task / "task.toml")
    assert not inspect_task(task).is_usable


def test_a_link_in_a_circle_and_a_pipe_are_refused(task: Path) -> None:
    (task / "tests" / "around").symlink_to("..")
    os.mkfifo(task / "pipe")
    assert set(inspect_task(task).refused) == {
        "tests/around is a link to a folder around itself",
        "pipe is a device, pipe or socket",
    }


def test_a_link_within_the_folder_is_fine(task: Path) -> None:
    (task / "tests" / "again.sh").symlink_to("test.sh")
    assert inspect_task(task).is_usable


def test_what_is_welcome_but_absent_is_a_warning(task: Path) -> None:
    assert inspect_task(task).warnings == ()
    (task / "environment" / "bug.patch").unlink()
    look = inspect_task(task)
    assert look.is_usable
    assert look.warnings == ("lacks environment/bug.patch",)


def test_limits_are_read_and_the_harness_s_own_stand_where_none_is_set(task: Path, tmp_path: Path) -> None:
    look = inspect_task(task)
    assert (look.agent_timeout_s, look.verifier_timeout_s, look.build_timeout_s) == (60.0, 120.0, 300.0)
    bare = inspect_task(write_task(tmp_path / "bare", toml="[metadata]\n"))
    assert (bare.agent_timeout_s, bare.verifier_timeout_s, bare.build_timeout_s) == (None, 600.0, 600.0)
    assert (look.longest_phase_s, bare.longest_phase_s) == (300.0, 6 * 3600.0)


def test_metadata_is_what_json_can_hold(tmp_path: Path) -> None:
    toml = "[metadata]\nday = 2026-05-06\nat = 2026-05-06T07:08:09Z\nclock = 07:08:09\nx = nan\ndeep = [{y = inf}]\n"
    metadata = inspect_task(write_task(tmp_path / "t", toml=toml)).metadata
    assert json.loads(json.dumps(metadata, allow_nan=False)) == {
        "day": "2026-05-06",
        "at": "2026-05-06T07:08:09+00:00",
        "clock": "07:08:09",
        "x": "nan",
        "deep": [{"y": "inf"}],
    }


def test_the_instruction_is_handed_on_as_it_stands(task: Path) -> None:
    assert inspect_task(task).instruction == "Mend the parser.\n"
