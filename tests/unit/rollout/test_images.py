"""Images are named in many ways and listed in one."""

import pytest

from trajgen_assets.core.rollout.images import base_images, full_name


@pytest.mark.parametrize(
    ("text", "images"),
    [
        ("FROM a:1\n", ["a:1"]),
        ("from --platform=linux/amd64 a:1 as b\nFROM b\nFROM c\n", ["a:1", "c"]),
        ("FROM a:1 AS Build\nFROM build\nFROM BUILD\n", ["a:1"]),
        ("FROM\n\nFROM a:1\n", ["a:1"]),
        ("# FROM no\nARG V=1\nFROM a:$V\n", []),
        ("FROM scratch\n", []),
    ],
)
def test_the_images_of_a_dockerfile(text: str, images: list[str]) -> None:
    assert base_images(text) == images


@pytest.mark.parametrize(
    ("name", "listed"),
    [
        ("debian", "debian:latest"),
        ("docker.io/library/python:3.12", "python:3.12"),
        ("docker.io/a/b", "a/b:latest"),
        ("r.example:5000/a/b", "r.example:5000/a/b:latest"),
        ("r.example:5000/library/b:1", "r.example:5000/library/b:1"),
        ("a/b:1@sha256:ab", "a/b@sha256:ab"),
        ("a/b@sha256:ab", "a/b@sha256:ab"),
    ],
)
def test_an_image_is_found_under_the_name_that_the_engine_lists(name: str, listed: str) -> None:
    assert full_name(name) == listed
