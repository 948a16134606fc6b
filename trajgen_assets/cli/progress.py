"""Progress of running jobs, read from their files: it shows a job of this process and of any other alike."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.live import Live
from rich.text import Text

from trajgen_assets.cli.state import console
from trajgen_assets.core.counting import count_of
from trajgen_assets.core.errors import TrajgenError
from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.ledger.models import JobState
from trajgen_assets.core.paths import Root
from trajgen_assets.core.report.archive.opened import session_of_open
from trajgen_assets.core.report.archive.session import steps_in
from trajgen_assets.core.rollout.events import EventFeed
from trajgen_assets.core.rollout.slots import live_holders
from trajgen_assets.core.rollout.trials import TrialEntry, load_trials

LOOK_EVERY_S = 0.5


@dataclass(frozen=True)
class Look:
    """What one look at a job has found: a line about it, its steps and the trials that ended since the last look."""

    line: str
    steps: Sequence[str]
    ended: Sequence[TrialEntry]


@dataclass
class JobView:
    """What can be seen of one job from outside."""

    root: Root
    job: str
    n_tasks: int
    ledger: Ledger
    started: set[str] = field(default_factory=set)
    told: set[str] = field(default_factory=set)
    n_steps: int = 0
    step: str = "beginning"
    began_s: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self._files = self.root.job(self.job)
        self._feed = EventFeed(self._files.events)

    def look(self) -> Look:
        """Read what has been written since the last look."""
        self.started |= {event.trial for event in self._feed.read() if event.event == "trial_started"}
        try:
            entries = load_trials(self._files.trials).trials
        except TrajgenError:  # not begun yet
            entries = ()
        ended = [entry for entry in entries if entry.trial_name not in self.told]
        self.told |= {entry.trial_name or "" for entry in ended}
        steps = self._new_steps()
        return Look(self._line(entries) if self.started else self.step, steps, ended)

    def waits_for(self) -> str | None:
        """The jobs beside which this one finds no room, while it has not begun."""
        others = live_holders(self.root.locks) - {self.job, ""}
        if not others or self.ledger.job(self.job).state is not JobState.ASSIGNED:
            return None
        return f"waiting for room on this host, beside {', '.join(sorted(others))}"

    def _new_steps(self) -> list[str]:
        """The steps since the last look; before the first of them, what the job waits for."""
        steps = steps_in(session_of_open(self.root, self.job))
        fresh, self.n_steps = steps[self.n_steps :], max(self.n_steps, len(steps))
        if self.n_steps == 0 and (waiting := self.waits_for()) not in (None, self.step):
            fresh = [waiting]
        self.step = fresh[-1] if fresh else self.step
        return fresh

    def _line(self, entries: tuple[TrialEntry, ...]) -> str:
        done, running = len(entries), max(0, len(self.started) - len(entries))
        rewards = [entry.reward for entry in entries if entry.reward is not None]
        tokens = sum((entry.n_input_tokens or 0) + (entry.n_output_tokens or 0) for entry in entries)
        parts = [f"{done} of {count_of(self.n_tasks, 'trial')} done", f"{running} running"]
        if rewards:
            parts.append(f"mean reward {sum(rewards) / len(rewards):.2f}")
        parts.append(f"{tokens:,} tokens")
        if 0 < done < self.n_tasks:
            left_s = (time.monotonic() - self.began_s) / done * (self.n_tasks - done)
            parts.append(f"about {left_s:.0f} s left")
        return ", ".join(parts)


def trial_line(entry: TrialEntry) -> str:
    """One ended trial in a line."""
    if entry.accepted:
        return f"  {entry.task_key}: reward {entry.reward:g}, capture {entry.capture}, {entry.duration_s or 0:.1f} s"
    return f"  {entry.task_key}: {entry.shortfall}"


@contextmanager
def shown(view: JobView) -> Iterator[None]:
    """Show a job's progress from a thread while the block runs: a line a step and a trial, on a terminal also a status.

    The steps go to standard error where nobody looks on, so that standard output is of results alone.
    """
    stop = threading.Event()
    thread = threading.Thread(target=_show, args=(view, stop), daemon=True, name="progress")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=5)


def _show(view: JobView, stop: threading.Event) -> None:
    steps_to = console if console.is_terminal else Console(stderr=True, highlight=False, soft_wrap=True)
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            last_look = stop.wait(LOOK_EVERY_S)
            look = view.look()
            for step in look.steps:
                steps_to.print(Text(f"  {step}"))
            for entry in look.ended:
                console.print(Text(trial_line(entry)))
            if console.is_terminal:
                live.update(Text(look.line), refresh=True)
            if last_look:
                return
