"""A whole data set, staged: exactly the tasks that its manifest lists and that are complete."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from trajgen_assets.core.errors import TaskError
from trajgen_assets.core.intake.manifest import Manifest, ManifestProblem, read_manifest
from trajgen_assets.core.intake.source import TaskSource
from trajgen_assets.core.intake.staging import Staged, stage_task, staged_ids, unstage
from trajgen_assets.core.intake.task import inspect_task


@dataclass(frozen=True)
class StagingReport:
    """What `stage_dataset` did. Every id of the manifest is in `staged`, `unchanged` or `waiting`.

    Attributes:
        manifest_sha256: digest of the manifest that it went by.
        staged: new or replaced.
        unchanged: stood there already, or is used in place.
        removed: staged earlier, no longer listed.
        waiting: task id and why it cannot be staged now; an earlier stage of it stands.
        problems: lines of the manifest that were not taken.
        pending_line: the manifest's last line is still being written.
    """

    dataset: str
    manifest_sha256: str
    staged: tuple[str, ...]
    unchanged: tuple[str, ...]
    removed: tuple[str, ...]
    waiting: dict[str, str]
    problems: tuple[ManifestProblem, ...]
    pending_line: bool


def stage_dataset(source: TaskSource, root: Path, *, held: Collection[str] = ()) -> StagingReport:
    """Make `root/<data set>` hold the tasks of the manifest: a changed manifest changes just the difference.

    Args:
        source: where the tasks come from, and how they are staged.
        root: the staging root, for example `artifacts/tasks`.
        held: ids that are in use now; they are neither replaced nor removed.

    Raises:
        ManifestError: the manifest is missing or cannot be trusted. Nothing was changed.
        RequirementError: the disk is full. What was staged before stands.
    """
    manifest = read_manifest(source.manifest)
    done: dict[bool, list[str]] = {True: [], False: []}
    waiting: dict[str, str] = {}
    for task_id in manifest.entries:
        if task_id in held:
            waiting[task_id] = "is in use"
            continue
        try:
            done[_stage(source, root, task_id).changed].append(task_id)
        except TaskError as error:  # one bad folder must not keep the others back
            waiting[task_id] = str(error)
    removed = _remove_unlisted(source, root / source.dataset, manifest, held)
    return StagingReport(
        source.dataset,
        manifest.sha256,
        staged=tuple(done[True]),
        unchanged=tuple(done[False]),
        removed=removed,
        waiting=waiting,
        problems=manifest.problems,
        pending_line=manifest.pending_line,
    )


def _stage(source: TaskSource, root: Path, task_id: str) -> Staged:
    task = inspect_task(source.folder / task_id)
    if not task.is_usable:
        raise TaskError(task.note)
    return stage_task(task.folder, root / source.dataset / task_id, mode=source.staging)


def _remove_unlisted(source: TaskSource, folder: Path, manifest: Manifest, held: Collection[str]) -> tuple[str, ...]:
    wanted = set() if source.staging == "in_place" else set(manifest.entries)
    surplus = [task_id for task_id in staged_ids(folder) if task_id not in wanted and task_id not in held]
    return tuple(task_id for task_id in surplus if unstage(folder / task_id))
