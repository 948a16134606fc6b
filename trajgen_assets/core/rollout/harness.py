"""What a job asks of its harness, the program that runs an agent on a task; see `docs/adr/0015-harnesses.md`.

A harness is told what to roll out (`Batch`) and answers in files, which are the same whichever it is. In the event
feed it says when a trial begins and ends; the trial's folder has `config.json` as long as it began, and `result.json`
once it ended, in the form that `results.py` reads; `ended/<trial>` says that its key is to be refused. So whoever
settles, shows or recovers a job reads one form, and none of them asks what wrote it.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from trajgen_assets.core.capture.proxy import RunningProxy
from trajgen_assets.core.config.config import Campaign, Config
from trajgen_assets.core.config.scaffolds import Scaffold
from trajgen_assets.core.intake.task import TaskFolder
from trajgen_assets.core.ledger.models import JobRow
from trajgen_assets.core.paths import JobPaths, Root
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.process import ProcessId
from trajgen_assets.core.provision.command import Say
from trajgen_assets.core.provision.environments import Environment
from trajgen_assets.core.rollout.docker import Leftovers
from trajgen_assets.core.rollout.events import EventFeed
from trajgen_assets.core.rollout.record import StagedTask
from trajgen_assets.core.runtimes.mounting import Mount


@dataclass(frozen=True)
class Workplace:
    """What a job works with: its environments, and the agent that its containers have mounted, if any."""

    environments: Sequence[Environment]
    runtime: Mount | None = None


@dataclass(frozen=True)
class Batch:
    """What a harness is to roll out: each task once, so many at a time.

    Attributes:
        lock_fd: descriptor of the job slot, held by what is started as long as it lives.
        started: to be told of the processes that serve the job, all of them each time: they are ended by whoever finds
            it dead.
    """

    platform: Platform
    job: JobRow
    campaign: Campaign
    tasks: Sequence[StagedTask]
    workplace: Workplace
    proxy: RunningProxy
    n_concurrent: int
    lock_fd: int
    started: Callable[[Mapping[str, ProcessId]], None] = field(default=lambda _: None)

    @property
    def files(self) -> JobPaths:
        """Where the job's files lie."""
        return self.platform.root.job(self.job.name)


class Run(Protocol):
    """A harness at work. Only its files say how trials ended, never an exit code."""

    @property
    def title(self) -> str:
        """What people call it."""

    @property
    def feed(self) -> EventFeed:
        """What it says."""

    @property
    def log_path(self) -> Path:
        """What it prints."""

    def poll(self) -> int | None:
        """Bring forward what is to be done in this process; the exit code once nothing is left to be done."""

    def log_tail(self, n_lines: int = 12) -> str:
        """The last lines that it printed, for an error message."""


class Harness(Protocol):
    """One way to roll out tasks, with its settings. All else that a job needs of it lies on disk."""

    @property
    def title(self) -> str:
        """What people call it."""

    def environments(self, config: Config, env_dir: Path, say: Say) -> Sequence[Environment]:
        """What a job runs in, as it stands or built now.

        Raises:
            EnvironmentBuildError, RequirementError, RefusedError: it cannot be had.
        """

    def workplace(self, platform: Platform, job: JobRow, environments: Sequence[Environment], say: Say) -> Workplace:
        """Complete the workplace, once the quick checks of the preflight have passed. Raises as `environments` does."""

    def proxy_host(self, scaffold: Scaffold) -> str:
        """The address of this host at which agents reach the proxy.

        Raises:
            RequirementError: they run in containers, and the engine does not say how those reach this host.
        """

    def check_way(self, batch: Batch) -> None:
        """Make sure that agents reach the proxy, where that cannot be told from here. Called before the first trial.

        Raises:
            RequirementError: they do not, or no sandbox can be made.
            HarnessError: it could not be asked.
        """

    def running(self, batch: Batch) -> AbstractContextManager[Run]:
        """Roll out `batch`; on leaving the block all of it is stopped, and every trial that ended has its result.

        Raises:
            HarnessError: it cannot be started.
        """

    def silence_s(self, folders: Sequence[TaskFolder]) -> float:
        """No task of these can be silent for longer than this without something being wrong."""

    def longest_trial_s(self, folder: TaskFolder) -> float:
        """No trial of this task can take longer than this."""

    def own_files(self, files: JobPaths) -> Sequence[Path]:
        """Files and folders that it leaves beside the trials' own, in which a secret may stand."""

    def clear_away(self, root: Root, job: str) -> Leftovers:
        """Remove what a job left that is over or dead, once its processes are ended. Safe to repeat.

        A trial whose work was done, and that only lacks its `result.json`, is completed first.

        Raises:
            RequirementError: containers may be left, and the engine does not answer.
        """
