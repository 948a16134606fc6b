"""A task folder, looked at before anything is spent on it: what it lacks, and what it says about itself."""

import math
import os
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from datetime import time as clock_time
from pathlib import Path
from typing import Any

from trajgen_assets.core.intake.compose import COMPOSE_NAME, compose_problems
from trajgen_assets.core.intake.rows import is_row, is_staged_row, look_at_row

_MAX_TEXT_SIZE_BYTES = 4 << 20
_REQUIRED_FILES = ("task.toml", "instruction.md", "tests/test.sh")
_DEFINITIONS = ("Dockerfile", COMPOSE_NAME)
_WELCOME = ("solution", "environment/bug.patch")
_LIMITS = {
    "agent_timeout_s": ("agent", "timeout_sec"),
    "verifier_timeout_s": ("verifier", "timeout_sec"),
    "build_timeout_s": ("environment", "build_timeout_sec"),
}

# What the harness takes where task.toml says nothing. It has no limit of its own for the agent.
DEFAULT_VERIFIER_TIMEOUT_S = 600.0
DEFAULT_BUILD_TIMEOUT_S = 600.0
# How long an agent without a limit may be silent before it counts as stuck.
ASSUMED_AGENT_TIMEOUT_S = 6 * 3600.0


@dataclass(frozen=True)
class TaskFolder:
    """What `inspect_task` found.

    Attributes:
        task_id: name of the folder.
        missing: what a task must have and this one has not.
        refused: what is there and cannot be used: malformed, too large, or leading outside the folder.
        warnings: what a task should have and works without.
        instruction: text of instruction.md, empty if there is none.
        metadata: the table `[metadata]` of task.toml, in types that JSON has.
        agent_timeout_s: None if the task sets no limit.
    """

    task_id: str
    folder: Path
    missing: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    instruction: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    agent_timeout_s: float | None = None
    verifier_timeout_s: float = DEFAULT_VERIFIER_TIMEOUT_S
    build_timeout_s: float = DEFAULT_BUILD_TIMEOUT_S

    @property
    def is_usable(self) -> bool:
        return not (self.missing or self.refused)

    @property
    def longest_phase_s(self) -> float:
        """The longest that building, agent or verifier may take by the task's own limits."""
        agent_s = ASSUMED_AGENT_TIMEOUT_S if self.agent_timeout_s is None else self.agent_timeout_s
        return max(agent_s, self.verifier_timeout_s, self.build_timeout_s)

    @property
    def note(self) -> str:
        """Why the task has to wait, in one line; empty if it is usable."""
        lacks = [f"lacks {', '.join(self.missing)}"] if self.missing else []
        return "; ".join([*lacks, *self.refused])


def inspect_task(folder: Path) -> TaskFolder:
    """Look at one task folder, or at a row that is a task. What is wrong with it is in the result; nothing is raised.

    Required are task.toml, instruction.md with text, environment/ with a Dockerfile (or a compose file, or an
    image named in task.toml) and tests/test.sh.
    """
    try:
        if is_row(folder) or is_staged_row(folder):
            return _inspect_row(folder)
        if folder.is_dir():
            return _inspect(folder)
        return TaskFolder(folder.name, folder, missing=("the folder",))
    except OSError as error:
        return TaskFolder(folder.name, folder, refused=(f"cannot be read: {error.strerror}",))


def _inspect(folder: Path) -> TaskFolder:
    settings, toml_problem = _read_toml(folder / "task.toml")
    instruction, text_problem = _read_text(folder / "instruction.md")
    limits, limit_problems = _read_limits(settings)
    declared = _table(_table(settings, "environment"), "env")
    asked = [*_host_variables(settings), *compose_problems(folder / "environment", declared)]
    problems = [toml_problem, text_problem, *limit_problems, *asked, *_strays(folder)]
    return TaskFolder(
        folder.name,
        folder,
        missing=tuple(_missing(folder, settings)),
        refused=tuple(problem for problem in problems if problem),
        warnings=tuple(f"lacks {name}" for name in _WELCOME if not (folder / name).exists()),
        instruction=instruction,
        metadata=plain_json(_table(settings, "metadata")),
        **limits,
    )


def _inspect_row(path: Path) -> TaskFolder:
    """A row has no limits of its own: those of OpenHands are in the configuration."""
    found = look_at_row(path)
    return TaskFolder(
        path.name,
        path,
        missing=found.missing,
        refused=found.refused,
        instruction=found.instruction,
        metadata=plain_json(found.metadata),
    )


def plain_json(value: Any) -> Any:
    """Turn what TOML has into what JSON has: dates and times to ISO text, NaN and infinity to text."""
    if isinstance(value, dict):
        return {key: plain_json(each) for key, each in value.items()}
    if isinstance(value, list):
        return [plain_json(each) for each in value]
    if isinstance(value, datetime | date | clock_time):
        return value.isoformat()
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _missing(folder: Path, settings: dict[str, Any]) -> Iterator[str]:
    environment = folder / "environment"
    has_image = bool(_table(settings, "environment").get("docker_image"))
    for name in _REQUIRED_FILES:
        if not (folder / name).is_file():
            yield name
    if not environment.is_dir():
        yield "environment/"
    elif not has_image and not any((environment / name).is_file() for name in _DEFINITIONS):
        yield "environment/Dockerfile"


def _read_text(path: Path) -> tuple[str, str | None]:
    """The text of a file and what is wrong with it; a missing file is not wrong, but missing."""
    if not path.is_file():
        return "", None
    try:
        if path.stat().st_size > _MAX_TEXT_SIZE_BYTES:
            return "", f"{path.name} is larger than {_MAX_TEXT_SIZE_BYTES >> 20} MiB"
        text = path.read_bytes().decode()
    except UnicodeDecodeError:
        return "", f"{path.name} is not UTF-8"
    except OSError as error:
        return "", f"{path.name} cannot be read: {error.strerror}"
    return text, None if text.strip() else f"{path.name} is empty"


def _read_toml(path: Path) -> tuple[dict[str, Any], str | None]:
    text, problem = _read_text(path)
    try:
        return tomllib.loads(text), problem
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        return {}, f"{path.name} is not TOML: {error}"


def _read_limits(settings: dict[str, Any]) -> tuple[dict[str, float], list[str]]:
    """The limits that are set and usable, by the names of our fields, and what is wrong with the others."""
    limits: dict[str, float] = {}
    problems = []
    for name, (table, key) in _LIMITS.items():
        value = _table(settings, table).get(key)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
            problems.append(f"task.toml: [{table}] {key} is not a positive number of seconds")
        else:
            limits[name] = float(value)
    return limits, problems


def _host_variables(settings: dict[str, Any], place: str = "") -> Iterator[str]:
    """Variables of the host that a task asks to be given.

    The harness would ask a person about them, or end the whole job; and what its environment holds there is not the
    task's to read: the key from which those of all trials are made is among it.
    """
    for name, value in settings.items():
        here = f"{place}.{name}" if place else name
        for table in value if isinstance(value, list) else [value]:
            if not isinstance(table, dict):
                continue
            if name == "env":
                asked = sorted(key for key, text in table.items() if isinstance(text, str) and "${" in text)
                yield from (
                    f"task.toml: [{here}] {ascii(key)[1:-1][:80]} asks for a variable of the host" for key in asked
                )
            else:
                yield from _host_variables(table, here)


def _table(settings: dict[str, Any], name: str) -> dict[str, Any]:
    table = settings.get(name)
    return table if isinstance(table, dict) else {}


def _strays(folder: Path) -> Iterator[str]:
    """Entries that no copy of the folder can hold: links out of it or around in it, devices, pipes, sockets."""
    waiting = [os.fspath(folder)]
    while waiting:
        current = waiting.pop()
        try:
            entries = sorted(os.scandir(current), key=lambda entry: entry.name)
        except OSError as error:
            yield f"{_shown(current, folder)} cannot be read: {error.strerror}"
            continue
        for entry in entries:  # as texts: a Path for each takes longer than the look at it
            if entry.is_symlink():
                if problem := _link_problem(entry.path, folder):
                    yield f"{_shown(entry.path, folder)} {problem}"
            elif entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)
            elif not entry.is_file(follow_symlinks=False):
                yield f"{_shown(entry.path, folder)} is a device, pipe or socket"


def _link_problem(path: str, folder: Path) -> str | None:
    root = Path(os.path.realpath(folder))
    link = root / Path(path).relative_to(folder)
    end = Path(os.path.realpath(link))
    if link.readlink().is_absolute() or not end.is_relative_to(root):
        return "is a link that leads out of the task"
    return "is a link to a folder around itself" if link.is_relative_to(end) and end != link else None


def _shown(path: str, folder: Path) -> str:
    return ascii(str(Path(path).relative_to(folder)))[1:-1][:120]
