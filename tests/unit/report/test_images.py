"""Which images a task names, and what is said of them where there is no engine to ask."""

from pathlib import Path

import pytest

from trajgen_assets.core.report.archive.images import image_digests, image_names


@pytest.mark.parametrize(
    ("file", "text", "names"),
    [
        ("environment/Dockerfile", "FROM python:3.12\nRUN true\n", ["python:3.12"]),
        (
            "environment/Dockerfile",
            "FROM --platform=linux/amd64 a/b:1 AS build\nfrom debian\nCOPY --from=build /x /x\nFROM build\n",
            ["a/b:1", "debian"],
        ),
        ("environment/Dockerfile", "FROM debian AS Build\nFROM build\n", ["debian"]),
        ("environment/Dockerfile", "ARG BASE=x\nFROM $BASE\nFROM scratch\n# FROM no\n", []),
        ("environment/docker-compose.yaml", "services: {main: {image: 'r.io:5000/x@sha256:ab'}, db: {build: .}}\n",
         ["r.io:5000/x@sha256:ab"]),
        ("environment/docker-compose.yaml", "services: [\n", []),
        ("task.toml", '[environment]\ndocker_image = "swe/task:7"\n', ["swe/task:7"]),
        ("task.toml", "\x00", []),
    ],
)  # fmt: skip
def test_the_images_that_a_task_names_are_found(tmp_path: Path, file: str, text: str, names: list[str]) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(text)
    assert list(image_names(tmp_path)) == names


def test_without_an_engine_nothing_is_said_of_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    assert image_digests(["debian"]) is None
