"""A Harbor plugin that tells the platform what happens, trial by trial, while the job runs.

    harbor run -c job.yaml --plugin event_feed:EventFeed --pk path=… --pk ended_dir=… --pk digests=…

Each event is one JSON line, appended in one write. `environment_started` and `verification_started` say that the
phase begins. At `trial_ended` the sandbox is stopped and `result.json` is on disk; it also follows
`trial_cancelled`. `job_ended` is missing where Harbor was interrupted.

Before a sandbox is started, the task's content is compared with its recorded digest, the stop file is looked for, and
the trial waits as long as too little disk is free; `trial_waits` says so, once a minute. Harbor hooks may refuse a
trial only there: an error raised earlier or later would end the whole job.
"""

import asyncio
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import around_agent
from carried_through import UnfinishedWorkError
from digest import task_digest
from harbor.job import Job
from harbor.models.job.plugin import BaseJobPlugin
from harbor.models.job.result import JobResult
from harbor.models.trial.result import TrialResult
from harbor.trial.hooks import TrialHookEvent

# While a trial waits for room on the disk it looks so often, and says so that often: whoever follows must hear of it.
DISK_LOOK_S = 2.0
DISK_WORD_S = 60.0


class TaskChangedError(RuntimeError):
    """A task's content is not what was recorded when it was prepared; its trial was not run."""


class JobStoppedError(RuntimeError):
    """The platform asked for no more trials; this one was not run."""


class EventFeed(BaseJobPlugin):
    """See the module.

    Takes `path` (the feed), `ended_dir` (end markers), `digests` (recorded task digests) and `min_free_gb` (of disk).
    """

    def __init__(
        self, path: str, ended_dir: str, digests: str | None = None, min_free_gb: float = 0.0, **kwargs: Any
    ) -> None:
        """Read what is needed; nothing is written yet.

        Args:
            path: the feed, made or appended to.
            ended_dir: folder in which `<trial>` appears as soon as a trial's model key is to be refused.
            digests: JSON file that maps a task's absolute path, or its name, to its digest. Without it, no task
                is checked; with it, a task that is not named in it is refused.
            min_free_gb: trials wait to begin while less than this is free where the feed lies.
        """
        super().__init__(**kwargs)
        self._path = Path(path)
        self._ended_dir = Path(ended_dir)
        self._digests: dict[str, str] | None = None if digests is None else json.loads(Path(digests).read_bytes())
        proxy_dir = os.environ.get("TRAJGEN_PROXY_DIR")
        self._stop_file = Path(proxy_dir, "stop") if proxy_dir else None
        self._min_free_gb = float(min_free_gb)
        self._fd = -1
        self._failures: list[str] = []

    async def on_job_start(self, job: Job) -> None:
        """Open the feed, subscribe to all trials, and make SIGTERM orderly. An error here stops Harbor at once."""
        self._ended_dir.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        os.write(self._fd, _line("job_started", {"n_trials": len(job)}))
        # Harbor's own handler raises KeyboardInterrupt wherever its code happens to be: in a trial, that trial would
        # end as if nothing had happened. asyncio's handler of SIGINT cancels all trials in good order.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, signal.raise_signal, signal.SIGINT)
        job.on_trial_started(self._reporter("trial_started"))
        job.on_environment_started(self._before_environment)
        job.on_agent_started(self._agent_starts)
        job.on_agent_ended(self._agent_ended)
        job.on_verification_started(self._reporter("verification_started"))
        job.on_trial_cancelled(self._over("trial_cancelled"))
        job.on_trial_ended(self._over("trial_ended"))

    async def on_job_end(self, job_result: JobResult) -> None:
        """Close the feed with the job's counts and with what this feed failed to say."""
        stats = job_result.stats
        self._append(
            "job_ended",
            {
                "n_completed_trials": stats.n_completed_trials,
                "n_errored_trials": stats.n_errored_trials,
                "feed_failures": self._failures[:5],
                "n_feed_failures": len(self._failures),
            },
        )
        os.close(self._fd)
        if self._failures:
            print(f"event feed {self._path} is incomplete: {self._failures[0]}", file=sys.stderr)  # noqa: T201

    def _reporter(self, name: str) -> Callable[[TrialHookEvent], Awaitable[None]]:
        async def report(event: TrialHookEvent) -> None:
            self._append(name, _trial_fields(event))

        return report

    def _over(self, name: str) -> Callable[[TrialHookEvent], Awaitable[None]]:
        async def report(event: TrialHookEvent) -> None:
            around_agent.forget(event.trial_name)
            self._mark_ended(event.trial_name, name)
            self._append(name, {**_trial_fields(event), **_outcome(event.result)})

        return report

    async def _agent_starts(self, event: TrialHookEvent) -> None:
        await around_agent.begin(event.trial_name)
        self._append("agent_started", _trial_fields(event))

    async def _agent_ended(self, event: TrialHookEvent) -> None:
        # A task in steps runs its agent once for each step, with one key: it is refused when the trial is over.
        if event.result.step_results is None:
            self._mark_ended(event.trial_name, "agent_ended")
        try:
            await around_agent.end(event.trial_name)
        except UnfinishedWorkError as error:
            self._fail(f"what follows the agent's work in {event.trial_name}: {error}")
        self._append("agent_ended", _trial_fields(event))

    async def _before_environment(self, event: TrialHookEvent) -> None:
        """Refuse the trial, or say that its environment is about to start. Harbor records what is raised here."""
        await self._wait_for_disk(event)
        if self._is_stopped():
            raise JobStoppedError(f"{self._stop_file} asks for no more trials")
        await self._check_digest(event)
        self._append("environment_started", _trial_fields(event))

    def _is_stopped(self) -> bool:
        return self._stop_file is not None and self._stop_file.exists()

    async def _wait_for_disk(self, event: TrialHookEvent) -> None:
        """Hold the trial back while too little is free; Harbor's own limits begin after this hook."""
        said_at = -DISK_WORD_S
        while not self._is_stopped() and (free_gb := self._free_gb()) < self._min_free_gb:
            if time.monotonic() - said_at >= DISK_WORD_S:
                said_at = time.monotonic()
                figures = {"free_gb": round(free_gb, 3), "min_free_gb": self._min_free_gb}
                self._append("trial_waits", {**_trial_fields(event), **figures})
            await asyncio.sleep(DISK_LOOK_S)

    def _free_gb(self) -> float:
        return shutil.disk_usage(self._path.parent).free / (1 << 30)

    async def _check_digest(self, event: TrialHookEvent) -> None:
        if self._digests is None:
            return
        folder = _task_path(event)
        recorded = self._digests.get(str(folder)) or self._digests.get(event.task_name)
        if recorded is None:
            raise TaskChangedError(f"no digest is recorded for {folder}")
        try:
            found = await asyncio.to_thread(task_digest, folder)
        except Exception as error:
            raise TaskChangedError(f"the content of {folder} cannot be read: {error}") from error
        if found != recorded:
            raise TaskChangedError(f"{folder} has digest {found}, but {recorded} was recorded")

    def _mark_ended(self, trial: str, event_name: str) -> None:
        """Put the end marker of `trial` there. The first one stays."""
        marker = self._ended_dir / trial
        try:
            with marker.open("x") as file:
                file.write(f"{event_name} {_now()}\n")
        except FileExistsError:
            return
        except OSError as error:
            self._fail(f"end marker of {trial}: {error}")

    def _append(self, name: str, fields: Mapping[str, Any]) -> None:
        """Append one event. A failure is remembered: raised from a hook, it would cancel every other trial."""
        line = _line(name, fields)
        try:
            n_written = os.write(self._fd, line)
        except OSError as error:
            self._fail(f"{name} of {fields.get('trial')}: {error}")
            return
        if n_written != len(line):
            self._fail(f"{name} of {fields.get('trial')}: only {n_written} of {len(line)} bytes were written")

    def _fail(self, what: str) -> None:
        self._failures.append(what)
        print(f"event feed {self._path}: {what}", file=sys.stderr)  # noqa: T201


def _line(name: str, fields: Mapping[str, Any]) -> bytes:
    return (json.dumps({"event": name, "ts": _now(), **fields}, default=str) + "\n").encode()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _trial_fields(event: TrialHookEvent) -> dict[str, Any]:
    return {"trial": event.trial_name, "task_name": event.task_name, "task_path": str(_task_path(event))}


def _task_path(event: TrialHookEvent) -> Path:
    return Path(event.config.task.path or event.task_name).expanduser().absolute()


def _outcome(result: TrialResult) -> dict[str, Any]:
    verifier, exception = result.verifier_result, result.exception_info
    return {
        "has_verifier_result": verifier is not None,
        "rewards": None if verifier is None else verifier.rewards,
        "exception_type": None if exception is None else exception.exception_type,
    }
