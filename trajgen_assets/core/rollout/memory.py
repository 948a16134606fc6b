"""More memory for one task, as a person asked for with a retry: in a copy of the task that only this job uses.

Harbor sets memory for a whole job or takes what each task.toml says. The task source and its staged copy stay as they
are, equal to the recorded digest; the copy differs in one line, and has a digest of its own by which Harbor's guest
tells that it was not changed since.
"""

import logging
import re
import shutil
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

from trajgen_assets.core.errors import TaskError
from trajgen_assets.core.intake.digest import task_digest
from trajgen_assets.core.intake.task import inspect_task
from trajgen_assets.core.rollout.record import StagedTask

log = logging.getLogger(__name__)

_TABLE = re.compile(r"\s*\[(?P<name>[^\[\]]+)\]")
_MEMORY = re.compile(r"\s*memory(_mb)?\s*=")
_SIZE = re.compile(r"(?P<n>\d+(\.\d+)?)(?P<unit>[KMG])", re.IGNORECASE)  # as Harbor reads the older key `memory`
_IN_MB = {"K": 1 / 1024, "M": 1.0, "G": 1024.0}


def with_more_memory(staged: StagedTask, multiplier: float, copies: Path) -> StagedTask:
    """Copy a staged task to `copies`/<task id> with its memory times `multiplier`.

    Returns:
        The task as it is to be rolled out. `staged` itself where its task.toml sets no memory in a line of its own:
        then its sandboxes have no limit to be raised, or one that only its author can tell.

    Raises:
        TaskError: the copy cannot be made.
    """
    folder = copies / staged.key.task_id
    try:
        raised = raised_memory((staged.folder.folder / "task.toml").read_text(encoding="utf-8"), multiplier)
        if raised is None:
            return staged
        text, memory_mb = raised
        shutil.rmtree(folder, ignore_errors=True)  # of a launch that died
        shutil.copytree(staged.folder.folder, folder, symlinks=True)
        (folder / "task.toml").write_text(text, encoding="utf-8")
        return replace(staged, folder=inspect_task(folder), copy_digest=task_digest(folder), memory_mb=memory_mb)
    except OSError as error:
        what = "the task cannot be copied to be given more memory"
        raise TaskError(what, where=folder, why=error.strerror or type(error).__name__) from error


def given_more_memory(staged: StagedTask, multiplier: float, copies: Path) -> StagedTask:
    """As `with_more_memory`, with a word about it in the log."""
    given = with_more_memory(staged, multiplier, copies)
    if given.memory_mb is None:
        log.warning("%s: its task.toml sets no memory that could be raised", staged.key.partition)
    else:
        log.info("%s: given %d MB, %g times its memory", staged.key.partition, given.memory_mb, multiplier)
    return given


def as_given(staged: StagedTask, copies: Path) -> StagedTask:
    """A task as a job of somebody else rolled it out: in its own copy, if there is one."""
    folder = copies / staged.key.task_id
    if not folder.exists():
        return staged
    settings = tomllib.loads((folder / "task.toml").read_text(encoding="utf-8"))
    return replace(staged, folder=inspect_task(folder), memory_mb=_memory_mb(settings))


def raised_memory(text: str, multiplier: float) -> tuple[str, int] | None:
    """The text of a task.toml with more memory, and how many MB that is; None where no line of its own sets it."""
    settings = tomllib.loads(text)
    memory_mb = _memory_mb(settings)
    if memory_mb is None:
        return None
    more_mb = max(1, round(memory_mb * multiplier))
    changed = _with_memory(text, more_mb)
    environment = {name: value for name, value in settings["environment"].items() if name != "memory"}
    wanted = settings | {"environment": environment | {"memory_mb": more_mb}}
    try:
        return (changed, more_mb) if tomllib.loads(changed) == wanted else None
    except tomllib.TOMLDecodeError:  # what looked like the line was part of something else
        return None


def _memory_mb(settings: dict[str, Any]) -> int | None:
    environment = settings.get("environment")
    if not isinstance(environment, dict):
        return None
    found = environment.get("memory_mb")
    size = _SIZE.fullmatch(str(environment.get("memory", "")).strip())
    if found is None and size is not None:
        found = int(float(size["n"]) * _IN_MB[size["unit"].upper()])
    return found if isinstance(found, int) and not isinstance(found, bool) and found > 0 else None


def _with_memory(text: str, memory_mb: int) -> str:
    lines, table, is_set = [], "", False
    for line in text.splitlines(keepends=True):
        header = _TABLE.match(line)
        table = header["name"].strip() if header else table
        if table == "environment" and _MEMORY.match(line):
            lines += [] if is_set else [f"memory_mb = {memory_mb}\n"]
            is_set = True
        else:
            lines.append(line)
    return "".join(lines)
