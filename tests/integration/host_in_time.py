"""A host whose time passes only when told to: the real ledger, dispatch and slots, with trials that only take time."""

import heapq
import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg

from resources.instance import open_instance, prepare_instance
from tests.configuration import config_text
from trajgen_assets.core.config import parse_config
from trajgen_assets.core.ledger.models import (
    AttemptKind,
    AttemptOutcome,
    CaptureVerdict,
    JobState,
    Lease,
    ListedTask,
    ManifestSeen,
    RetryPolicy,
    TaskRow,
)
from trajgen_assets.core.ledger.store import create_ledger, open_ledger
from trajgen_assets.core.paths import Root
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.report.alarms import standing_alarms
from trajgen_assets.core.report.alerts import raise_alerts
from trajgen_assets.core.rollout.trial_slots import TrialSlots, trial_slots
from trajgen_assets.dispatch import due_requests

DATA_SET = "d"
TICK_S = 30.0
STARTUP_S = 20.0  # Dagster's queue, the run worker, the proxy, Harbor
CLOSING_S = 5.0


@dataclass
class Clock:
    at: datetime = field(default_factory=lambda: datetime(2026, 1, 1, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.at

    @property
    def seconds(self) -> float:
        return (self.at - datetime(2026, 1, 1, tzinfo=UTC)).total_seconds()

    def set(self, seconds: float) -> None:
        self.at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)


@dataclass
class _Running:
    """One job whose trials run: what it holds, what is left of its batch, and how many trials run."""

    lease: Lease
    slots: TrialSlots
    held: ExitStack
    left: list[TaskRow]
    n_running: int = 0


@dataclass
class Host:
    """Events in order of time; `durations_s` says how long the trial of each task takes."""

    platform: Platform
    instance: dg.DagsterInstance
    clock: Clock
    durations_s: Mapping[str, float] = field(default_factory=dict)
    busy: list[tuple[float, float]] = field(default_factory=list)
    last_assigned_s: float = 0.0
    n_requests: int = 0
    _events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def at(self, seconds: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (seconds, next(self._numbers), event))

    def run_until(self, over: Callable[[], bool]) -> None:
        while self._events and not over():
            seconds, _, event = heapq.heappop(self._events)
            self.clock.set(seconds)
            event()

    def tick(self, begin: Callable[[str], None]) -> None:
        """One tick of the sensors, as far as they ask for runs and tell of what is wrong, and the next one after it."""
        words: list[str] = []
        for request in due_requests(self.instance, self.platform, words):
            self.n_requests += 1
            self.last_assigned_s = self.clock.seconds
            begin(request.tags["trajgen/job"])
        raise_alerts(self.platform.root, standing_alarms(self.platform))
        self.at(self.clock.seconds + TICK_S, lambda: self.tick(begin))

    def begin_later(self, job: str) -> None:
        self.at(self.clock.seconds + STARTUP_S, lambda: self.begin(job))

    def begin(self, job: str) -> None:
        """What a run does: take slots, claim, and start as many trials as it holds slots."""
        inputs, ledger = self.platform.config.runtime_info.input, self.platform.ledger
        held = ExitStack()
        want = min(inputs.harbor_job.n_concurrent, ledger.job(job).n_tasks)
        slots = held.enter_context(trial_slots(ledger, job, want=want, max_trials=inputs.automation.max_trials))
        running = _Running(ledger.claim(job, "run", ttl_s=10**6), slots, held, ledger.tasks_of_job(job))
        for _ in range(slots.n):
            self._next_trial(running)

    def _next_trial(self, job: _Running) -> None:
        if job.left:
            task = job.left.pop(0)
            job.n_running += 1
            ends_s = self.clock.seconds + self.durations_s[task.task_id]
            self.busy.append((self.clock.seconds, ends_s))
            self.at(ends_s, lambda: self._trial_ended(job, task))

    def _trial_ended(self, job: _Running, task: TaskRow) -> None:
        self.platform.ledger.record_attempt(job.lease, task.key, graded(task), RetryPolicy())
        job.n_running -= 1
        self._next_trial(job)
        job.slots.keep(job.n_running + len(job.left))
        if job.n_running == 0:
            self.at(self.clock.seconds + CLOSING_S, lambda: self._end(job))

    def _end(self, job: _Running) -> None:
        self.platform.ledger.release(job.lease, JobState.FINISHED)
        self.platform.ledger.clear(DATA_SET)  # as a job does that shows that an outage is over
        job.held.close()

    def busy_share(self, until_s: float, max_trials: int) -> float:
        """How much of the slots' time trials have used from the first trial on."""
        began_s = min(start for start, _ in self.busy)
        used_s = sum(min(end, until_s) - start for start, end in self.busy if start < until_s)
        return used_s / ((until_s - began_s) * max_trials)


def graded(task: TaskRow) -> AttemptOutcome:
    return AttemptOutcome(
        f"{task.task_id}__x",
        AttemptKind.GRADED,
        reward=1.0,
        capture=CaptureVerdict.COMPLETE,
        trajectory_path="jobs/x/t.jsonl",
        trajectory_sha256="ab",
    )


@contextmanager
def host_with(tmp_path: Path, task_ids: list[str], **automation: Any) -> Iterator[Host]:
    """A host whose ledger has these tasks."""
    root, folder, clock = Root(tmp_path / "root"), tmp_path / DATA_SET, Clock()
    folder.mkdir()
    create_ledger(root)
    prepare_instance(root, max_jobs=4)
    text = config_text(folder, automation={"enabled": True, **automation}, harbor_job={"environment": "local"})
    config = parse_config(text, root.path / "config.yaml")
    with open_ledger(root, now=clock) as ledger, open_instance(root) as instance:
        tasks = [ListedTask(task_id, f"digest of {task_id}", eligible=True) for task_id in task_ids]
        ledger.register("main", DATA_SET, tasks, ManifestSeen("m", "sha", len(tasks)))
        yield Host(Platform(root, config, ledger), instance, clock)
