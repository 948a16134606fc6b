"""Where tasks come from: one folder with a manifest, under the name of a data set."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

StagingMode = Literal["copy", "link", "in_place"]

MANIFEST_NAME = "verifiable_tasks.txt"


@dataclass(frozen=True)
class TaskSource:
    """A folder of task folders, and the manifest that says which of them are verified. Paths are absolute."""

    dataset: str
    folder: Path
    manifest: Path
    staging: StagingMode = "copy"
