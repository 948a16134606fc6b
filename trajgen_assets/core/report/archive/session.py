"""`session.log`: what happened in a run, in order, each line with its time, on disk as it happens."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from trajgen_assets.core.clock import now
from trajgen_assets.core.provision.environments import Environment
from trajgen_assets.core.rollout.record import Listener, StagedTask
from trajgen_assets.core.rollout.trials import TrialEntry

log = logging.getLogger(__name__)

OURS = "trajgen_assets"
MAX_LINE = 2000
STEP = "step: "


@dataclass
class SessionLog:
    """Hears what a run tells its listener, and what the program logs, and hands the former on.

    A line that cannot be written is lost and said once: the log of a run must not end the run.
    """

    path: Path | None
    listener: Listener
    redact: Callable[[str], str]
    _is_broken: bool = field(default=False, init=False)

    def phase(self, text: str) -> None:
        self.say(f"{STEP}{text}")
        self.listener.phase(text)

    def environments_ready(self, environments: Sequence[Environment]) -> None:
        self.say(f"runs in {', '.join(each.path.name for each in environments)}")
        self.listener.environments_ready(environments)

    def staged(self, task: StagedTask) -> None:
        self.say(f"staged {task.key.partition}, digest {task.digest}")
        self.listener.staged(task)

    def trial_started(self, task_id: str) -> None:
        self.say(f"trial of {task_id} started")
        self.listener.trial_started(task_id)

    def trial_ended(self, entry: TrialEntry) -> None:
        self.say(f"trial {entry.trial_name} ended: {_result(entry)}")
        self.listener.trial_ended(entry)

    def say(self, text: str) -> None:
        """Add a line."""
        if self.path is None or self._is_broken:
            return
        line = f"{now():%Y-%m-%dT%H:%M:%S.%fZ} {one_line(self.redact(text))[:MAX_LINE]}\n"
        try:
            with self.path.open("a", encoding="utf-8", errors="replace") as file:
                file.write(line)
        except OSError as error:
            self._is_broken = True
            log.error("the session log goes on without its file: %s: %s", self.path, error.strerror)

    @contextmanager
    def hearing_the_program(self) -> Iterator[None]:
        """Within the block also what this program logs is written down: stops and errors among it."""
        handler, ours = _Handler(self), logging.getLogger(OURS)
        ours.addHandler(handler)
        try:
            yield
        finally:
            ours.removeHandler(handler)


class _Handler(logging.Handler):
    def __init__(self, session: SessionLog) -> None:
        super().__init__()
        self._session = session

    def emit(self, record: logging.LogRecord) -> None:
        if record.name != __name__:
            self._session.say(f"{record.levelname.lower()}: {record.getMessage()}")


def steps_in(session: str) -> list[str]:
    """The steps that a run has come to, by the text of its session log."""
    whole = session[: session.rfind("\n") + 1]
    lines = (line.partition(" ")[2] for line in whole.splitlines())
    return [line.removeprefix(STEP) for line in lines if line.startswith(STEP)]


def one_line(text: str) -> str:
    """`text` without line breaks and control characters: what programs in a sandbox print ends up here."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())


def _result(entry: TrialEntry) -> str:
    if not entry.accepted:
        return entry.shortfall
    n_tokens = (entry.n_input_tokens or 0) + (entry.n_output_tokens or 0)
    return f"reward {entry.reward:g}, capture {entry.capture}, {n_tokens} tokens, {entry.duration_s or 0:.1f} s"
