"""Containers that `run_infer` left when it was ended: those, and only those, that the logs of our trials name."""

import re
from collections.abc import Iterator
from pathlib import Path

from trajgen_assets.core.openhands.trial import Trial, begun_trials
from trajgen_assets.core.paths import JobPaths
from trajgen_assets.core.rollout.docker import ask_docker

PREFIX = "openhands-runtime-"

# The harness says `[runtime <session>]` before each line about a container, and its name is made of the session.
_SESSION = re.compile(rf"\[runtime ([A-Za-z0-9][\w.-]*)\]|{PREFIX}([A-Za-z0-9][\w.-]*[A-Za-z0-9])")


def remove_containers(files: JobPaths) -> tuple[str, ...]:
    """Remove what the trials of a job left in the engine; the engine is asked only if a log names a container.

    Returns:
        The names of those that there were.

    Raises:
        RequirementError: the engine does not answer, or refuses.
    """
    ours = set(_named_in_logs(files))
    if not ours:
        return ()
    listed = ask_docker("ps", "--all", "--filter", f"name={PREFIX}", "--format", "{{.Names}}")
    found = tuple(sorted(ours & set(listed.split())))
    if found:
        ask_docker("rm", "--force", "--volumes", *found)
    return found


def _named_in_logs(files: JobPaths) -> Iterator[str]:
    for trial in begun_trials(files):
        for path in _logs(trial):
            with path.open(encoding="utf-8", errors="replace") as lines:
                for line in lines:
                    for said, named in _SESSION.findall(line):
                        yield f"{PREFIX}{said or named}"


def _logs(trial: Trial) -> Iterator[Path]:
    """Its own log, and with several workers the instance's."""
    return (path for path in (trial.log, trial.run.log(trial.task_id)) if path.is_file())
