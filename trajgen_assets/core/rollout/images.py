"""Images by name: those that a Dockerfile begins from, and those that the Docker engine has."""

import json
import re

from trajgen_assets.core.rollout.docker import ask_docker

_FROM = re.compile(r"^[ \t]*FROM[ \t]+(?:--\S+[ \t]+)*(\S+)(?:[ \t]+AS[ \t]+(\S+))?", re.IGNORECASE | re.MULTILINE)
# The engine lists an image of its default registry without these.
_DEFAULT_REGISTRY = re.compile(r"^(?:(?:index\.)?docker\.io/)?(?:library/)?")


def base_images(dockerfile: str) -> list[str]:
    """The images that a Dockerfile begins from. One that is named by a build argument is not known here."""
    stages: set[str] = set()
    images = []
    for image, stage in _FROM.findall(dockerfile):
        if image.lower() not in stages and image != "scratch" and "$" not in image:
            images.append(image)
        stages.add(stage.lower())
    return images


def stored_images(*, timeout_s: float) -> dict[str, str]:
    """What the engine has, asked for once: `full_name` to the digest in its registry, or to the engine's own id.

    An image that came from a registry stands there by its digest, too.

    Raises:
        RequirementError: the engine does not answer, or not in time; that says nothing about any image.
    """
    listed = ask_docker("image", "ls", "--digests", "--no-trunc", "--format", "{{json .}}", timeout_s=timeout_s)
    found = {}
    for each in (json.loads(line) for line in listed.splitlines() if line.startswith("{")):
        name, digest = each.get("Repository"), str(each.get("Digest") or "")
        if ":" in digest:
            found[f"{name}@{digest}"] = digest
        found[f"{name}:{each.get('Tag')}"] = digest if ":" in digest else str(each.get("ID"))
    return found


def full_name(name: str) -> str:
    """An image's name as the engine lists it: by digest if it has one, else by tag."""
    short = _DEFAULT_REGISTRY.sub("", name, count=1)
    tagged, _, digest = short.partition("@")
    repository = tagged.rpartition(":")[0] if ":" in tagged.rpartition("/")[2] else tagged
    if digest:
        return f"{repository}@{digest}"
    return tagged if tagged != repository else f"{tagged}:latest"
