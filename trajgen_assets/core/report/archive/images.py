"""Which images the tasks of a job are built on or run in, by name and digest, as the Docker engine has them."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import yaml

from trajgen_assets.core.errors import RequirementError
from trajgen_assets.core.rollout.images import base_images, full_name, stored_images

ASK_TIMEOUT_S = 10.0


def image_digests(names: Iterable[str]) -> dict[str, str] | None:
    """Image name to digest, or to what is known instead.

    A trial's own image is removed with it. It follows from these images and from the task's digest, which covers the
    Dockerfile and all that it copies.

    Returns:
        None where the engine does not answer.
    """
    try:
        known = stored_images(timeout_s=ASK_TIMEOUT_S)
    except RequirementError:
        return None
    return {name: _pinned(name) or known.get(full_name(name), "not in the engine's store") for name in names}


def image_names(folder: Path) -> Iterator[str]:
    """The images that a task names in its Dockerfile, its compose file and its task.toml."""
    yield from base_images("\n".join(_lines(folder / "environment" / "Dockerfile")))
    yield from _of_compose(folder / "environment" / "docker-compose.yaml")
    for line in _lines(folder / "task.toml"):
        if found := re.match(r"""\s*docker_image\s*=\s*["']([^"']+)["']""", line):
            yield found[1]


def _of_compose(path: Path) -> Iterator[str]:
    try:
        raw = yaml.safe_load("\n".join(_lines(path)))
    except yaml.YAMLError:
        return
    services = raw.get("services") if isinstance(raw, dict) else None
    for service in services.values() if isinstance(services, dict) else ():
        image = service.get("image") if isinstance(service, dict) else None
        if isinstance(image, str) and "$" not in image:
            yield image


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _pinned(name: str) -> str | None:
    return name.partition("@")[2] or None
