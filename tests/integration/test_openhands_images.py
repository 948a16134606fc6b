"""Images come from tar files into the real engine, under all of their names, or nothing is loaded."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docker import needs_docker
from tests.openhands_checkout.configured import openhands_config_text
from tests.openhands_checkout.image_tars import write_image_tar
from tests.openhands_checkout.making import make_stand_in, row, write_rows
from trajgen_assets.core.config.openhands import OpenHands
from trajgen_assets.core.errors import RequirementError
from trajgen_assets.core.openhands.images import image_of, ready_images
from trajgen_assets.core.paths import Root
from trajgen_assets.core.preflight.findings import Level, looked_at
from trajgen_assets.core.preflight.run import CHECKS, Line, look
from trajgen_assets.core.rollout.docker import ask_docker

pytestmark = needs_docker


@pytest.fixture
def chosen() -> Iterator[OpenHands]:
    """Settings with a prefix that no other image has; what was loaded under it goes again."""
    prefix = f"trajgen-test-{uuid.uuid4().hex[:12]}"
    yield OpenHands.model_validate(
        {"evaluator": "none", "python": "p", "language": "java", "eval_docker_image_prefix": prefix}
    )
    if names := stored(prefix):
        ask_docker("rmi", "--force", *names)


def stored(prefix: str) -> list[str]:
    return ask_docker(
        "image", "ls", "--filter", f"reference={prefix}/*", "--format", "{{.Repository}}:{{.Tag}}"
    ).split()


def id_of(name: str) -> str:
    return ask_docker("image", "inspect", "--format", "{{.Id}}", name).strip()


def of(task: dict[str, Any], chosen: OpenHands) -> set[str]:
    return set(image_of(task, chosen).spellings)


def test_an_image_is_loaded_once_and_has_all_of_its_names(chosen: OpenHands, tmp_path: Path) -> None:
    said: list[str] = []
    wanted = image_of(row(), chosen).wanted
    write_image_tar(tmp_path / "any.tar", [wanted])
    for _ in range(2):
        ready_images([row()], chosen, tmp_path, said.append)
    assert said == ["loading any.tar"]
    assert set(stored(chosen.eval_docker_image_prefix)) == of(row(), chosen)
    assert len({id_of(name) for name in of(row(), chosen)}) == 1


def test_an_image_without_a_name_is_loaded_by_that_of_its_file(chosen: OpenHands, tmp_path: Path) -> None:
    write_image_tar(tmp_path / "acme__greeter-1.tar", [], content=chosen.eval_docker_image_prefix)
    ready_images([row()], chosen, tmp_path, print)
    assert set(stored(chosen.eval_docker_image_prefix)) == of(row(), chosen)


def test_of_several_images_in_a_file_the_task_gets_its_own(chosen: OpenHands, tmp_path: Path) -> None:
    prefix = chosen.eval_docker_image_prefix
    write_image_tar(tmp_path / "one.tar", [f"{prefix}/acme_m_greeter:pr-1", f"{prefix}/other:latest"])
    ready_images([row()], chosen, tmp_path, print)
    assert set(stored(prefix)) == of(row(), chosen) | {f"{prefix}/other:latest"}


def test_with_one_image_missing_none_is_loaded(chosen: OpenHands, tmp_path: Path) -> None:
    write_image_tar(tmp_path / "one.tar", [image_of(row(), chosen).wanted])
    with pytest.raises(RequirementError, match=r"1 image of tasks not here .*acme_m_greeter:pr-2"):
        ready_images([row(), row("acme__greeter-2")], chosen, tmp_path, print)
    assert stored(chosen.eval_docker_image_prefix) == []


def test_a_file_that_the_engine_refuses_is_told_with_its_words(chosen: OpenHands, tmp_path: Path) -> None:
    (tmp_path / "acme__greeter-1.tar").write_text("no image")
    with pytest.raises(RequirementError, match="an image could not be loaded"):
        ready_images([row()], chosen, tmp_path, print)


def test_without_images_of_instances_the_engine_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # there is no docker
    bare = {"evaluator": "none", "python": "p", "use_instance_image": False}
    assert ready_images([row()], OpenHands.model_validate(bare), None, print).missing == ()


def test_point_8_images_that_are_missing_or_in_tar_files_are_told_before_anything_starts(
    chosen: OpenHands, tmp_path: Path
) -> None:
    stand_in = make_stand_in(tmp_path / "stand-in")
    rows = write_rows(tmp_path / "tasks.jsonl", [row(), row("acme__greeter-2")])
    prefix = chosen.eval_docker_image_prefix
    asked = {"language": "java", "eval_docker_image_prefix": prefix, "images_dir": "images"}
    (tmp_path / "config.yaml").write_text(openhands_config_text(rows, stand_in, openhands=asked))
    write_image_tar(tmp_path / "images" / "one.tar", [f"{prefix}/acme_m_greeter:pr-1"])

    def line() -> Line:
        check = next(each for each in CHECKS if each.name == "task images")
        with looked_at(Root(tmp_path / "artifacts"), tmp_path / "config.yaml") as subject:
            return next(look(subject, [check]))

    found = line()
    assert (found.level, found.check) == (Level.FAIL, "task images tasks")
    assert f"{prefix}/acme_m_greeter:pr-2 (acme__greeter-2)" in found.text
    write_image_tar(tmp_path / "images" / "two.tar", [f"{prefix}/acme_m_greeter:pr-2"])
    assert line().text == "0 here, 2 in tar files"
    assert stored(prefix) == []


def test_a_runtime_image_that_is_named_and_not_here_is_refused(chosen: OpenHands, tmp_path: Path) -> None:
    stand_in = make_stand_in(tmp_path / "stand-in")
    rows = write_rows(tmp_path / "tasks.jsonl", [row()])
    asked = {"runtime_container_image": f"{chosen.eval_docker_image_prefix}/runtime:1"}
    check = next(each for each in CHECKS if each.name == "runtime image")
    found = []
    for more in (asked, {}):
        (tmp_path / "config.yaml").write_text(openhands_config_text(rows, stand_in, openhands=more))
        with looked_at(Root(tmp_path / "artifacts"), tmp_path / "config.yaml") as subject:
            found += look(subject, [check])
    assert [line.level for line in found] == [Level.FAIL, Level.OK]
    assert "built over the task's image, which takes the network" in found[1].text
