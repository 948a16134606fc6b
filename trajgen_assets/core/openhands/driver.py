"""OpenHands' Multi-SWE-bench harness as the harness of a job: a `run_infer` for each task, then an evaluator."""

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from trajgen_assets.core.config.config import Config
from trajgen_assets.core.config.inputs import HarborJob
from trajgen_assets.core.config.openhands import OpenHands
from trajgen_assets.core.config.scaffolds import Scaffold
from trajgen_assets.core.intake.rows import read_row
from trajgen_assets.core.intake.task import TaskFolder
from trajgen_assets.core.ledger.models import JobRow
from trajgen_assets.core.openhands.checkout import OpenHandsCheckout, whole_checkout
from trajgen_assets.core.openhands.completing import complete_trials
from trajgen_assets.core.openhands.environment import NAME, ready_environment
from trajgen_assets.core.openhands.feed import tell
from trajgen_assets.core.openhands.grading import Grader
from trajgen_assets.core.openhands.images import ready_images
from trajgen_assets.core.openhands.job_file import OpenHandsJob, read_job, write_job
from trajgen_assets.core.openhands.launching import Launcher
from trajgen_assets.core.openhands.leftovers import remove_containers
from trajgen_assets.core.openhands.run import TITLE, OpenHandsRun
from trajgen_assets.core.openhands.trial import OUTPUTS
from trajgen_assets.core.openhands.work import Work
from trajgen_assets.core.openhands.worktrees import Worktrees, remove_dead_worktrees, worktrees_of
from trajgen_assets.core.paths import JobPaths, Root
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.provision.command import Say
from trajgen_assets.core.provision.environments import Environment
from trajgen_assets.core.provision.on_demand import needed_environment
from trajgen_assets.core.provision.setup import LITELLM
from trajgen_assets.core.rollout.addresses import LOOPBACK
from trajgen_assets.core.rollout.docker import Leftovers
from trajgen_assets.core.rollout.events import EventFeed
from trajgen_assets.core.rollout.harness import Batch, Workplace
from trajgen_assets.core.rollout.record import StagedTask


@dataclass(frozen=True)
class OpenHandsHarness:
    """OpenHands, as `openhands` says; the margins are those of `harbor_job`."""

    settings: OpenHands
    margins: HarborJob
    title: str = TITLE

    def environments(self, config: Config, env_dir: Path, say: Say) -> Sequence[Environment]:
        """OpenHands' own and LiteLLM's."""
        return [ready_environment(config, env_dir, say), needed_environment(LITELLM, env_dir, say)]

    def workplace(self, platform: Platform, job: JobRow, environments: Sequence[Environment], say: Say) -> Workplace:
        """With the image of each task in the engine, and the checkout looked at: it is whole, and at its pin."""
        config = platform.config
        whole_checkout(config)
        source, rows = config.source(job.dataset).folder, platform.ledger.tasks_of_job(job.name)
        folder = config.resolve(self.settings.images_dir) if self.settings.images_dir else None
        ready_images((read_row(source / row.task_id) for row in rows), self.settings, folder, say)
        return Workplace(environments)

    def proxy_host(self, _scaffold: Scaffold) -> str:
        """Loopback: the agent is a process of this host, and its containers ask no model."""
        return LOOPBACK

    def check_way(self, batch: Batch) -> None:
        """Nothing to ask: agents are processes of this host."""

    @contextmanager
    def running(self, batch: Batch) -> Iterator[OpenHandsRun]:
        """Roll out `batch`, each task by a process of its own."""
        files, root, checkout = batch.files, batch.platform.root, whole_checkout(batch.platform.config)
        python = next(each.path for each in batch.workplace.environments if each.name == NAME) / "bin" / "python"
        facts = self._facts(batch.platform.config, checkout, python)
        write_job(files, facts)
        for folder in (files.dir / OUTPUTS, files.proxy / "ended"):
            folder.mkdir(parents=True, exist_ok=True)
        with worktrees_of(checkout, root, batch.job.name) as trees:
            launcher = Launcher(batch, self.settings, python, (batch.lock_fd, trees.lock_fd))
            run = OpenHandsRun(
                waiting=deque(self._work(launcher, trees, Grader(facts), task) for task in batch.tasks),
                n_concurrent=batch.n_concurrent,
                feed=EventFeed(files.events),
                log_path=files.dir / OUTPUTS,
                min_free_gb=self.margins.min_free_gb,
                started=batch.started,
            )
            try:
                yield run
            finally:
                run.end()

    def silence_s(self, _folders: Sequence[TaskFolder]) -> float:
        """The work on one task, or its evaluation, and a margin."""
        return max(self.settings.timeout_s, self.settings.eval_timeout_s) + self.margins.stall_margin_s

    def longest_trial_s(self, _folder: TaskFolder) -> float:
        """The work, the evaluation, and a margin for what has no limit: the worktree, and the record."""
        return self.settings.timeout_s + self.settings.eval_timeout_s + self.margins.stall_margin_s

    def own_files(self, files: JobPaths) -> Sequence[Path]:
        """Its outputs, in its own tree."""
        return [files.dir / OUTPUTS]

    def clear_away(self, root: Root, job: str) -> Leftovers:
        """Complete what was worked out, and remove containers and worktrees."""
        files = root.job(job)
        facts = read_job(files)
        if facts is None:
            return Leftovers()
        complete_trials(root, job, facts)
        remove_dead_worktrees(facts.checkout, root)
        return Leftovers(containers=remove_containers(files))

    def _facts(self, config: Config, checkout: OpenHandsCheckout, python: Path) -> OpenHandsJob:
        chosen = self.settings
        return OpenHandsJob(
            checkout=checkout.folder,
            commit=checkout.commit,
            settings=chosen,
            evaluator_python=config.resolve(chosen.evaluator_python) if chosen.evaluator_python else python,
            evaluator_dataset=config.resolve(chosen.evaluator_dataset) if chosen.evaluator_dataset else None,
        )

    def _work(self, launcher: Launcher, trees: Worktrees, grader: Grader, task: StagedTask) -> Work:
        files = launcher.batch.files
        return Work(
            trial=launcher.trial_of(task),
            task=task,
            trees=trees,
            grader=grader,
            start=launcher.start,
            tell=lambda event, trial: tell(files.events, event, trial),
            ended_dir=files.proxy / "ended",
            stop=files.stop,
            timeout_s=self.settings.timeout_s,
            agent=launcher.batch.campaign.agent.scaffold.agent,
        )
