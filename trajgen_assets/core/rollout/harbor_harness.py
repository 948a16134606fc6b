"""Harbor as the harness of a job: one `harbor run` process for the whole batch."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from trajgen_assets.core.atomic import write_json, write_yaml
from trajgen_assets.core.checkouts.harbor import sources_of
from trajgen_assets.core.config.config import Config
from trajgen_assets.core.config.inputs import HarborJob
from trajgen_assets.core.config.scaffolds import Scaffold
from trajgen_assets.core.intake.task import ASSUMED_AGENT_TIMEOUT_S, TaskFolder
from trajgen_assets.core.ledger.models import JobRow
from trajgen_assets.core.paths import JobPaths, Root
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.process import ProcessId
from trajgen_assets.core.provision.command import Say
from trajgen_assets.core.provision.environments import Environment
from trajgen_assets.core.provision.on_demand import ready_environments
from trajgen_assets.core.rollout.addresses import ProxyPlace
from trajgen_assets.core.rollout.docker import Leftovers, compose_overlay, remove_leftovers
from trajgen_assets.core.rollout.harbor import TITLE, HarborRun, running_harbor
from trajgen_assets.core.rollout.harness import Batch, Workplace
from trajgen_assets.core.rollout.plan import RolloutPlan, environment_config, harbor_job_config, uses_docker
from trajgen_assets.core.rollout.reaching import WayToProxy, refuse_unless_reached
from trajgen_assets.core.rollout.sandboxes import remove_sandboxes
from trajgen_assets.core.runtimes.mounting import Mount, choice_of, ready_mount

log = logging.getLogger(__name__)

# What Harbor leaves of a job beside its trials.
JOB_FILES = ("config.json", "result.json", "lock.json", "job.log")


@dataclass(frozen=True)
class HarborHarness:
    """Harbor, as `harbor_job` says."""

    settings: HarborJob
    proxy: ProxyPlace = field(default_factory=ProxyPlace)
    title: str = TITLE

    def environments(self, config: Config, env_dir: Path, say: Say) -> Sequence[Environment]:
        """Harbor's own and LiteLLM's."""
        return ready_environments(env_dir, say, sources_of(config))

    def workplace(self, platform: Platform, job: JobRow, environments: Sequence[Environment], say: Say) -> Workplace:
        """With the runtime of an agent that works inside the containers."""
        return Workplace(environments, _runtime(platform, job.campaign, say))

    def proxy_host(self, scaffold: Scaffold) -> str:
        """Loopback, Docker's bridge for agents in containers, or what a person says for those elsewhere."""
        return self.proxy.listens_at(scaffold)

    def check_way(self, batch: Batch) -> None:
        """Ask from within the first task's sandbox, where agents call the proxy by a public address."""
        scaffold = batch.campaign.agent.scaffold
        if not self.proxy.is_public(scaffold):
            return
        task = batch.tasks[0].folder
        write_yaml(batch.files.compose_overlay, compose_overlay(batch.job.name))
        way = WayToProxy(
            files=batch.files,
            python=batch.platform.harbor_env / "bin" / "python",
            environment=environment_config(self._plan(batch)),
            task=task.folder,
            url=self.proxy.agent_url(scaffold, batch.proxy),
            environ=self._told(batch),
            build_timeout_s=task.build_timeout_s,
        )
        refuse_unless_reached(way, batch.proxy)

    @contextmanager
    def running(self, batch: Batch) -> Iterator[HarborRun]:
        """Run Harbor on `batch`. Its tasks are checked against their digests before each trial."""
        files, root = batch.files, batch.platform.root
        digests = {str(task.folder.folder): task.copy_digest or task.digest for task in batch.tasks}
        write_json(files.task_digests, digests)
        (root.sandboxes / batch.job.name).mkdir(parents=True, exist_ok=True)
        volumes = batch.workplace.runtime.volumes if batch.workplace.runtime else ()
        write_yaml(files.compose_overlay, compose_overlay(batch.job.name, volumes))
        with running_harbor(
            harbor_env=batch.platform.harbor_env,
            files=files,
            guest=files.guest,
            config=harbor_job_config(self._plan(batch)),
            secrets=self._told(batch),
            lock_fd=batch.lock_fd,
            min_free_gb=self.settings.min_free_gb,
        ) as run:
            batch.started({"harbor": ProcessId.of(run.child.pid)})
            yield run

    def silence_s(self, folders: Sequence[TaskFolder]) -> float:
        """Building, agent or verifier of one of them, whichever may take the longest, and a margin."""
        longest_s = max(folder.longest_phase_s for folder in folders)
        return longest_s * self._factor + self.settings.stall_margin_s

    def longest_trial_s(self, folder: TaskFolder) -> float:
        """By the task's own limits, with a margin for what has none: making and removing the sandbox, the record."""
        agent_s = ASSUMED_AGENT_TIMEOUT_S if folder.agent_timeout_s is None else folder.agent_timeout_s
        phases_s = folder.build_timeout_s + agent_s + folder.verifier_timeout_s
        return phases_s * self._factor + self.settings.stall_margin_s

    @property
    def _factor(self) -> float:
        return max(1.0, self.settings.timeout_multiplier)

    def own_files(self, files: JobPaths) -> Sequence[Path]:
        """Its log and its files of the job."""
        return [files.harbor_log, *(files.dir / name for name in JOB_FILES)]

    def clear_away(self, root: Root, job: str) -> Leftovers:
        """Remove containers and folders, which Harbor leaves behind when it is killed outright."""
        remove_sandboxes(root.sandboxes / job)
        return remove_leftovers(job) if uses_docker(self.settings.environment) else Leftovers()

    def _plan(self, batch: Batch) -> RolloutPlan:
        agent, root = batch.campaign.agent, batch.platform.root
        return RolloutPlan(
            job=batch.job.name,
            jobs_dir=root.jobs,
            task_dirs=[task.folder.folder for task in batch.tasks],
            environment=self.settings.environment,
            sandboxes=root.sandboxes / batch.job.name,
            compose_overlay=batch.files.compose_overlay,
            agent_import_path=agent.scaffold.import_path,
            model=f"{agent.scaffold.provider}/{batch.proxy.served_model}",
            agent_kwargs=agent.options,
            n_concurrent=batch.n_concurrent,
            timeout_multiplier=self.settings.timeout_multiplier,
            environment_options=self.settings.environment_options,
        )

    def _told(self, batch: Batch) -> dict[str, str]:
        """What Harbor and its guest are told by their environment: also what no file may hold."""
        proxy = batch.proxy
        return {
            **batch.platform.config.child_env(),
            "TRAJGEN_JOB": batch.job.name,
            "TRAJGEN_PROXY_DIR": str(batch.files.proxy),
            "TRAJGEN_PROXY_URL": self.proxy.agent_url(batch.campaign.agent.scaffold, proxy),
            "TRAJGEN_PROXY_ADDRESS": f"{proxy.host}:{proxy.port}",
            "TRAJGEN_NETWORK": self.settings.network,
            "TRAJGEN_TRIAL_SUBKEY": proxy.subkey,
            "TRAJGEN_PATCH_TREE_MB": str(self.settings.patch_tree_max_mb),
            "TRAJGEN_PATCH_FILE_MB": str(self.settings.patch_max_mb),
        }


def _runtime(platform: Platform, campaign: str, say: Say) -> Mount | None:
    choice = choice_of(platform.config, campaign, platform.root.env)
    mount = ready_mount(choice, platform.root.env, say) if choice else None
    if mount is not None:
        say(f"containers have {mount.told} mounted")
    return mount
