"""Tasks rolled out twice on this host without a model: doing nothing must earn 0, the reference solution 1.

Real sandboxes, a real Harbor and the tasks' own verifiers, in a folder that is thrown away: neither the ledger, nor the
jobs, nor the staged tasks of the root are touched. It holds no job slot, so it may run beside jobs.
"""

import os
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, zip_longest
from pathlib import Path

from trajgen_assets.core.atomic import write_json, write_yaml
from trajgen_assets.core.config.config import Config
from trajgen_assets.core.counting import count_of
from trajgen_assets.core.errors import HarnessError, RefusedError
from trajgen_assets.core.guest import guest_bundle
from trajgen_assets.core.intake.source import TaskSource
from trajgen_assets.core.intake.staging import Staged, stage_task
from trajgen_assets.core.intake.task import TaskFolder
from trajgen_assets.core.paths import JobPaths, Root
from trajgen_assets.core.preflight.demand import usable_tasks
from trajgen_assets.core.preflight.findings import Finding, Subject, fail, ok, warn
from trajgen_assets.core.provision.setup import HARBOR
from trajgen_assets.core.rollout.docker import compose_overlay, remove_leftovers
from trajgen_assets.core.rollout.harbor import HarborRun, running_harbor
from trajgen_assets.core.rollout.plan import RolloutPlan, harbor_job_config, uses_docker
from trajgen_assets.core.rollout.results import TrialResult, read_trial_result
from trajgen_assets.core.rollout.sandboxes import remove_sandboxes

# Harbor's own agents, and the reward that a sound task on a sound host gives each.
EXPECTED: Mapping[str, float] = {"nop": 0.0, "oracle": 1.0}

CHOOSE_S = 10.0
POLL_S = 0.2

Say = Callable[[str], None]


def canary(subject: Subject, n_tasks: int, say: Say) -> Iterator[Finding]:
    """Roll out `n_tasks` tasks without a model; one finding for each.

    Raises:
        NotLookedError: the configuration cannot be read.
        HarnessError: Harbor did not run, or stood still.
    """
    tasks = _choose(subject.config, n_tasks)
    if not tasks:
        raise RefusedError("no usable task has a reference solution", mend="name a folder of tasks that has")
    if len(tasks) < n_tasks:
        yield warn(f"only {len(tasks)} of {count_of(n_tasks, 'task')}: no other usable one has a reference solution")
    with tempfile.TemporaryDirectory(prefix="trajgen-canary-") as folder:
        trial = _Canary(subject, Root(Path(folder), subject.root.env), f"canary-{secrets.token_hex(4)}")
        results = trial.roll_out(tasks, say)
    for task in tasks:
        yield _judge(task.task_id, {name: results.get((task.task_id, name)) for name in EXPECTED})


def _choose(config: Config, n_tasks: int) -> list[TaskFolder]:
    """The first usable tasks with a solution, in turn of each data set; tasks of one name are taken once."""
    solvable = (
        [task for task, _ in zip(_solvable(source), range(n_tasks), strict=False)] for source in config.sources()
    )
    in_turn = (task for task in chain.from_iterable(zip_longest(*solvable)) if task)
    return list({task.task_id: task for task in in_turn}.values())[:n_tasks]


def _solvable(source: TaskSource) -> Iterator[TaskFolder]:
    for task in usable_tasks(source, within_s=CHOOSE_S):
        if (task.folder / "solution").is_dir():
            yield task


class _Canary:
    """One Harbor job in a folder that is thrown away."""

    def __init__(self, subject: Subject, scratch: Root, job: str) -> None:
        self._subject = subject
        self._scratch = scratch
        self._job = job
        self._files: JobPaths = scratch.job(job)
        self._harbor_job = subject.config.runtime_info.input.harbor_job

    def roll_out(self, tasks: Sequence[TaskFolder], say: Say) -> dict[tuple[str, str], TrialResult]:
        """Roll out each task with each agent. Returns the trials that ended, by task id and agent."""
        self._files.proxy.mkdir(parents=True)
        self._files.dir.parent.mkdir(parents=True, exist_ok=True)
        staged = [stage_task(task.folder, self._scratch.tasks / "canary" / task.task_id) for task in tasks]
        write_json(self._files.task_digests, {str(each.folder): each.digest for each in staged})
        write_yaml(self._files.compose_overlay, compose_overlay(self._job))
        (self._scratch.sandboxes / self._job).mkdir(parents=True)
        longest_s = max(task.longest_phase_s for task in tasks) * max(1.0, self._harbor_job.timeout_multiplier)
        agents, n = " and ".join(EXPECTED), self._subject.n_at_once
        say(f"rolling out {count_of(len(tasks), 'task')} with {agents}, {n} at a time")
        try:
            with self._harbor(staged) as harbor:
                self._wait(harbor, longest_s + self._harbor_job.stall_margin_s, say)
                log_tail = harbor.log_tail()
        finally:
            remove_sandboxes(self._scratch.sandboxes / self._job)
            if uses_docker(self._harbor_job.environment):
                remove_leftovers(self._job)
        results = self._results()
        if not results:
            raise HarnessError("Harbor ended without any trial", why=self._without_folder(log_tail))
        return results

    @contextmanager
    def _harbor(self, staged: Sequence[Staged]) -> Iterator[HarborRun]:
        plan = RolloutPlan(
            job=self._job,
            jobs_dir=self._files.dir.parent,
            task_dirs=[each.folder for each in staged],
            environment=self._harbor_job.environment,
            sandboxes=self._scratch.sandboxes / self._job,
            compose_overlay=self._files.compose_overlay,
            agent_import_path="",
            model="",
            agent_kwargs={},
            n_concurrent=self._subject.n_at_once,
            timeout_multiplier=self._harbor_job.timeout_multiplier,
        )
        config = harbor_job_config(plan) | {"agents": [{"name": name} for name in EXPECTED]}
        lock_fd = os.open(self._scratch.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            with running_harbor(
                harbor_env=self._subject.root.env / HARBOR,
                files=self._files,
                guest=guest_bundle(self._files.proxy),
                config=config,
                secrets=self._subject.config.child_env(),
                lock_fd=lock_fd,
            ) as harbor:
                yield harbor
        finally:
            os.close(lock_fd)

    def _wait(self, harbor: HarborRun, silence_s: float, say: Say) -> None:
        """Follow the trials until Harbor ends, or has been silent for too long."""
        heard_at = time.monotonic()
        while harbor.poll() is None:
            for event in harbor.feed.read():
                heard_at = time.monotonic()
                if event.event == "trial_ended":
                    say(f"{event.trial} ended")
            if time.monotonic() - heard_at > silence_s:
                raise HarnessError("the canary stands still", why=f"no event for {silence_s:.0f} s")
            time.sleep(POLL_S)

    def _results(self) -> dict[tuple[str, str], TrialResult]:
        folders = (path for path in self._files.dir.glob("*") if path.is_dir())
        ended = [result for folder in folders if (result := read_trial_result(folder)) is not None]
        return {(result.task_id or "", result.agent_info.name): result for result in ended}

    def _without_folder(self, text: str) -> str:
        """The folder will be gone when a person reads this."""
        return text.replace(str(self._scratch.path), "")


def _judge(task_id: str, results: Mapping[str, TrialResult | None]) -> Finding:
    faults = []
    for name, expected in EXPECTED.items():
        result = results[name]
        if result is None:
            faults.append(f"{name} did not run")
        elif result.reward != expected:
            got = f"earned {result.reward:g}" if result.reward is not None else f"has no reward ({result.note})"
            faults.append(f"{name} {got} and not {expected:g}")
    if not faults:
        rewards = ", ".join(f"{name} {expected:g}" for name, expected in EXPECTED.items())
        return ok(f"{task_id}: {rewards}")
    mend = "see whether the task's image and tests suit this host; leave the task out with `trajgen ledger skip` if not"
    return fail(RefusedError(f"{task_id}: {'; '.join(faults)}", mend=mend))
