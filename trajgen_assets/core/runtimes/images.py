"""A runtime out of a Docker image: copied into the store once for each image, and mounted from there.

Mounting an image's folder straight into a container is more than many engines can do, and copying it into each
container's own layer fails on long file names.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from trajgen_assets.core.atomic import write_text
from trajgen_assets.core.clock import stamp
from trajgen_assets.core.errors import RequirementError
from trajgen_assets.core.provision.command import Say
from trajgen_assets.core.provision.environments import locked, put_in_place
from trajgen_assets.core.rollout.docker import ask_docker
from trajgen_assets.core.runtimes.tree import measure, open_to_all

PULL_TIMEOUT_S = 1800.0
ASK_TIMEOUT_S = 10.0

MEND = "pull or build it, or name another one in agent.runtime_image"
PREFIX = "runtime-image-"
RECORD = "export.json"
# On the container that an image is copied out of. It is never started.
EXPORT_LABEL = "trajgen.runtime-export"


class ExportRecord(BaseModel):
    """`export.json`: what a folder of the store was copied from. It is written when the copy is whole."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    image: str
    image_digest: str
    subpath: str
    tree_sha256: str
    n_files: int
    size_bytes: int
    exported_at: str


@dataclass(frozen=True)
class ImageFolder:
    """A folder of the store with the content of an image's folder in `tree/`."""

    TREE: ClassVar[str] = "tree"

    path: Path

    @property
    def tree(self) -> Path:
        """What is mounted."""
        return self.path / self.TREE

    @staticmethod
    def read(path: Path) -> ExportRecord | None:
        """What the folder `path` was copied from; None if it is no whole copy."""
        try:
            return ExportRecord.model_validate_json((path / RECORD).read_bytes())
        except (OSError, ValidationError):
            return None


def image_id(name: str) -> str | None:
    """The digest by which the engine knows the image `name`; None if it has none of that name.

    Raises:
        RequirementError: the engine does not answer.
    """
    try:
        return ask_docker("image", "inspect", "--format", "{{.Id}}", name).strip()
    except RequirementError:
        ask_docker("version", "--format", "{{.Server.Version}}")  # it is the image that is missing, and not the engine
        return None


def is_offered(name: str) -> bool:
    """Whether a registry would give the image `name` now. It is asked for the image's description alone."""
    try:
        ask_docker("manifest", "inspect", name, timeout_s=ASK_TIMEOUT_S)
    except RequirementError:
        return False
    return True


def pull(name: str, say: Say) -> str:
    """Fetch the image `name`. Returns its digest.

    Raises:
        RequirementError: no registry gives it.
    """
    say(f"pulling {name}")
    ask_docker("pull", "--quiet", name, what=f"the image {name} is not here", mend=MEND, timeout_s=PULL_TIMEOUT_S)
    return ask_docker("image", "inspect", "--format", "{{.Id}}", name).strip()


def export_folder(env_dir: Path, image_digest: str, subpath: PurePosixPath) -> ImageFolder:
    """Where the folder `subpath` of an image is copied to, whether or not it has been."""
    identity = hashlib.sha256(f"{image_digest} {subpath}".encode()).hexdigest()[:16]
    return ImageFolder(env_dir / "store" / f"{PREFIX}{identity}")


def export(place: ImageFolder, image: str, image_digest: str, subpath: PurePosixPath, say: Say) -> ImageFolder:
    """Copy `subpath` of the image to `place`, unless that has been done. It is whole there, or not there.

    Raises:
        RequirementError: the image has no such folder, or the engine does not answer.
    """
    if ImageFolder.read(place.path) is not None:
        return place
    with locked(place.path.with_name(f".{place.path.name}.lock"), say):
        if ImageFolder.read(place.path) is None:
            say(f"taking {subpath} out of {image}, once")
            _copy_out(place.path, image, image_digest, subpath)
    return place


def _copy_out(home: Path, image: str, image_digest: str, subpath: PurePosixPath) -> None:
    building = ImageFolder(home.with_name(f".building-{home.name}"))
    shutil.rmtree(building.path, ignore_errors=True)
    building.tree.mkdir(parents=True)
    try:
        with _container(image_digest, home) as container:
            what, mend = f"the image {image} has no folder {subpath}", "correct runtime_mount.image_subpath"
            source = f"{container}:{subpath}/."
            ask_docker("cp", source, str(building.tree), what=what, mend=mend, timeout_s=PULL_TIMEOUT_S)
        open_to_all(building.tree)
        tree = measure(building.tree, without="")
        record = ExportRecord(
            image=image,
            image_digest=image_digest,
            subpath=str(subpath),
            tree_sha256=tree.content,
            n_files=tree.n_files,
            size_bytes=tree.size_bytes,
            exported_at=stamp(),
        )
        write_text(building.path / RECORD, record.model_dump_json(indent=2) + "\n")
        os.sync()
        put_in_place(building.path, home)
    except BaseException:
        shutil.rmtree(building.path, ignore_errors=True)
        raise


@contextmanager
def _container(image_digest: str, home: Path) -> Iterator[str]:
    """A container of the image that is never started. One that a killed export left is removed with it."""
    label = f"{EXPORT_LABEL}={home}"
    left = ask_docker("ps", "--all", "--quiet", "--filter", f"label={label}").split()
    made = ask_docker("create", "--label", label, "--network", "none", image_digest, "none").strip()
    try:
        yield made
    finally:
        ask_docker("rm", "--force", made, *left)
