"""Containers that `run_infer` left when it was ended: those, and only those, that the logs of our trials name.

What an agent prints stands in these logs, too, so a name alone is not believed: the container must have been made after
the trial began.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

from trajgen_assets.core.openhands.trial import Trial, begun_trials
from trajgen_assets.core.paths import JobPaths
from trajgen_assets.core.rollout.docker import ask_docker

PREFIX = "openhands-runtime-"

# The harness says `[runtime <session>]` before each line about a container, and its name is made of the session.
_SESSION = re.compile(rf"\[runtime ([A-Za-z0-9][\w.-]*)\]|{PREFIX}([A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?)")


def remove_containers(files: JobPaths) -> tuple[str, ...]:
    """Remove what the trials of a job left in the engine; the engine is asked only if a log names a container.

    Returns:
        The names of those that there were.

    Raises:
        RequirementError: the engine does not answer, or refuses.
    """
    named: dict[str, float] = {}
    for trial in begun_trials(files):
        named |= dict.fromkeys(sessions_of(trial), (trial.folder / "config.json").stat().st_mtime)
    found = tuple(sorted(name for name in _present(named) if _made_at(name) >= named[name]))
    if found:
        ask_docker("rm", "--force", "--volumes", *found)
    return found


def sessions_of(trial: Trial) -> Iterator[str]:
    """The names of the containers that the logs of a trial tell of."""
    for path in _logs(trial):
        with path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                yield from (f"{PREFIX}{said or named}" for said, named in _SESSION.findall(line))


def _logs(trial: Trial) -> Iterator[Path]:
    """Its own log, and with several workers the instance's."""
    return (path for path in (trial.log, trial.run.log(trial.task_id)) if path.is_file())


def _present(named: Mapping[str, float]) -> set[str]:
    if not named:
        return set()
    listed = ask_docker("ps", "--all", "--filter", f"name={PREFIX}", "--format", "{{.Names}}")
    return named.keys() & set(listed.split())


def _made_at(name: str) -> float:
    """When a container was made, in epoch seconds."""
    return datetime.fromisoformat(ask_docker("inspect", "--format", "{{.Created}}", name).strip()).timestamp()
