"""What the tasks ask of the machine: memory, disk, and the images that their sandboxes begin from."""

import re
import time
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trajgen_assets.core.config.config import Config
from trajgen_assets.core.errors import ManifestError
from trajgen_assets.core.intake.manifest import read_manifest
from trajgen_assets.core.intake.rows import is_row
from trajgen_assets.core.intake.source import TaskSource
from trajgen_assets.core.intake.task import TaskFolder, inspect_task
from trajgen_assets.core.rollout.images import base_images

# So many tasks of each data set are looked at, in the order of its manifest, and no longer than this.
N_SAMPLED = 200
SAMPLE_S = 1.5

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?", re.IGNORECASE)
_UNIT_MB = {"k": 1 / 1024, "": 1 / 2**20, "m": 1.0, "g": 1024.0, "t": 1024.0**2}


@dataclass(frozen=True)
class Demand:
    """The most that any one task of a sample asks for, 0 where none asks, and the images of all.

    Attributes:
        has_services: some task has a compose file, so its container may have others beside it.
    """

    n_tasks: int
    memory_mb: float
    storage_mb: float
    images: tuple[str, ...]
    has_services: bool = False


def demand_of(config: Config) -> Demand:
    """What the first usable tasks of each data set ask for. A data set that cannot be read asks for nothing."""
    found = [_asked(task) for task in _sample(config)]
    images = dict.fromkeys(image for asked in found for image in asked.images)
    memory_mb = max((asked.memory_mb for asked in found), default=0.0)
    storage_mb = max((asked.storage_mb for asked in found), default=0.0)
    has_services = any(asked.has_services for asked in found)
    return Demand(len(found), memory_mb, storage_mb, tuple(images), has_services)


def usable_tasks(source: TaskSource, *, within_s: float) -> Iterator[TaskFolder]:
    """Tasks of a data set that could be rolled out, in the order of the manifest, as many as are found in time.

    Raises:
        ManifestError: the manifest cannot be read.
    """
    deadline = time.monotonic() + within_s
    for task_id in read_manifest(source.manifest).entries:
        if time.monotonic() > deadline:
            return
        if (found := inspect_task(source.folder / task_id)).is_usable:
            yield found


def megabytes(value: Any) -> float:
    """A size as a task writes it: a number of megabytes, or a text such as `2G`; 0 for anything else."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    found = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    return float(found[1]) * _UNIT_MB[found[2].lower()] if found else 0.0


def _sample(config: Config) -> Iterator[TaskFolder]:
    for source in config.sources():
        try:
            for _, task in zip(range(N_SAMPLED), usable_tasks(source, within_s=SAMPLE_S), strict=False):
                yield task
        except ManifestError:  # it has a line of its own
            continue


def _asked(task: TaskFolder) -> Demand:
    if is_row(task.folder):  # its image and its container are OpenHands' affair
        return Demand(1, 0.0, 0.0, ())
    settings = tomllib.loads((task.folder / "task.toml").read_text(encoding="utf-8"))
    environment = settings.get("environment")
    table: dict[str, Any] = environment if isinstance(environment, dict) else {}
    memory = megabytes(table.get("memory_mb", table.get("memory")))
    storage = megabytes(table.get("storage_mb", table.get("storage")))
    images = tuple(_images(task.folder / "environment", table))
    return Demand(1, memory, storage, images, (task.folder / "environment" / "docker-compose.yaml").is_file())


def _images(folder: Path, table: dict[str, Any]) -> Iterable[str]:
    if isinstance(named := table.get("docker_image"), str) and named:
        return [named]
    dockerfile = folder / "Dockerfile"
    return base_images(dockerfile.read_text(encoding="utf-8", errors="replace")) if dockerfile.is_file() else []
