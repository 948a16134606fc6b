"""Which images the tasks of a job are built on or run in, by name and digest, as the Docker engine has them."""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from trajgen_assets.core.errors import RequirementError
from trajgen_assets.core.rollout.docker import ask_docker

ASK_TIMEOUT_S = 10.0

_FROM = re.compile(r"^\s*FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?\s*$", re.IGNORECASE)


def image_digests(names: Iterable[str]) -> dict[str, str] | None:
    """Image name to digest, or to what is known instead.

    A trial's own image is removed with it. It follows from these images and from the task's digest, which covers the
    Dockerfile and all that it copies.

    Returns:
        None where the engine does not answer.
    """
    try:
        listed = ask_docker("image", "ls", "--digests", "--no-trunc", "--format", "{{json .}}", timeout_s=ASK_TIMEOUT_S)
    except RequirementError:
        return None
    known = _known([json.loads(line) for line in listed.splitlines() if line.startswith("{")])
    return {name: _pinned(name) or known.get(_full(name), "not in the engine's store") for name in names}


def image_names(folder: Path) -> Iterator[str]:
    """The images that a task names in its Dockerfile, its compose file and its task.toml."""
    stages: set[str] = set()
    for line in _lines(folder / "environment" / "Dockerfile"):
        if (found := _FROM.match(line)) is None:
            continue
        if found[1] not in stages and found[1] != "scratch" and "$" not in found[1]:
            yield found[1]
        stages |= {found[2]} if found[2] else set()
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


def _known(listed: list[dict[str, Any]]) -> dict[str, str]:
    """Full name to the digest in its registry; to the engine's own id where it came from none."""
    found = {}
    for each in listed:
        digest = str(each.get("Digest") or "")
        found[f"{each.get('Repository')}:{each.get('Tag')}"] = digest if ":" in digest else str(each.get("ID"))
    return found


def _pinned(name: str) -> str | None:
    return name.partition("@")[2] or None


def _full(name: str) -> str:
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"
