"""Where tasks come from: one folder with a manifest, under the name of a data set."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from trajgen_assets.core.keys import is_safe_name

log = logging.getLogger(__name__)

StagingMode = Literal["copy", "link", "in_place"]

MANIFEST_NAME = "verifiable_tasks.txt"
ROWS_PROVIDER = "multi_swe_jsonl"
NO_MANIFEST = "none"


@dataclass(frozen=True)
class TaskSource:
    """A folder of task folders, and the manifest that says which of them are verified. Paths are absolute.

    `folder` may be a JSONL file, whose rows are the tasks; and it may be the manifest, too, if each row is verified.
    """

    dataset: str
    folder: Path
    manifest: Path
    staging: StagingMode = "copy"


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # its reader says why it cannot be read, and the other sources do not suffer from it
        return True


def data_sets_of(source: TaskSource) -> list[TaskSource]:
    """The data sets below a source: itself where it has a manifest, else each folder in it that has one.

    So a root with one folder for each language is several data sets, named after these folders, and a folder that
    appears later is found later. A source without any manifest is returned as it is: its reader says what is missing.
    """
    if _is_there(source.manifest) or source.manifest != source.folder / MANIFEST_NAME:
        return [source]
    folders = sorted(path.parent for path in source.folder.glob(f"*/{MANIFEST_NAME}"))
    children = [each for each in folders if is_safe_name(each.name)]
    for each in folders:
        if each not in children:
            log.warning("%s is left out: the folder's name cannot name a data set", each)
    return [TaskSource(each.name, each, each / MANIFEST_NAME, source.staging) for each in children] or [source]
