"""A process of `run_infer` is started: its row, its `config.toml`, its environment, and a script that says all that."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trajgen_assets.core import process
from trajgen_assets.core.atomic import write_text
from trajgen_assets.core.config.openhands import OpenHands
from trajgen_assets.core.openhands.command import arguments, environment, skip_ids
from trajgen_assets.core.openhands.config_toml import llm_section, write_config
from trajgen_assets.core.openhands.dataset import write_subset
from trajgen_assets.core.openhands.layout import RunFolder, run_folder
from trajgen_assets.core.openhands.trial import OUTPUTS, Trial, trial_name
from trajgen_assets.core.rollout.harness import Batch
from trajgen_assets.core.rollout.record import StagedTask
from trajgen_assets.core.shell import script_of

# Where a worktree has the row of its trial; the name enters that of the folder of the outputs.
ROWS = "data"


@dataclass(frozen=True)
class Launcher:
    """Starts the processes of one job.

    Attributes:
        python: interpreter of OpenHands' environment.
        lock_fds: descriptors that each process holds as long as it lives.
    """

    batch: Batch
    chosen: OpenHands
    python: Path
    lock_fds: tuple[int, ...]

    def trial_of(self, task: StagedTask) -> Trial:
        """A new trial of a task, with a name and places of its own."""
        name, files, campaign = trial_name(task.key.task_id), self.batch.files, self.batch.campaign
        run = run_folder(
            files.dir / OUTPUTS,
            _dataset(name),
            self.chosen.split,
            self.chosen.agent_cls,
            campaign.llm_api.model,
            campaign.agent.max_turns,
            self.chosen.eval_note or "",
        )
        return Trial(name, task.key.task_id, task.folder.folder, files, RunFolder(run))

    def start(self, trial: Trial, tree: Path) -> "subprocess.Popen[bytes]":
        """Start the process of a trial in the worktree `tree`; its log is the trial's. Call it from the main thread."""
        batch, chosen = self.batch, self.chosen
        write_subset(tree / _dataset(trial.name), [trial.task_dir])
        key = batch.proxy.trial_key(trial.name)
        write_config(
            tree, chosen.llm_config, llm_section(batch.campaign, chosen, base_url=batch.proxy.base_url, api_key=key)
        )
        outputs, dataset = batch.files.dir / OUTPUTS, _dataset(trial.name)
        argv = arguments(self.python, batch.campaign, chosen, dataset=dataset, outputs=outputs)
        rows = batch.platform.ledger.tasks_of_job(batch.job.name)
        plain = environment(chosen, tree, skip_ids(rows, batch.job.name, trial.task_id))
        secret = batch.platform.config.child_env()
        self._keep_command(argv, tree, plain, secret)
        with trial.log.open("ab") as output:
            env = process.child_env({**secret, **plain})
            return process.spawn(argv, env=env, cwd=tree, log=output, pass_fds=self.lock_fds)

    def _keep_command(
        self, argv: list[str | Path], tree: Path, plain: Mapping[str, str], secret: Mapping[str, str]
    ) -> None:
        """Write down how the first trial is executed, for the archive; the others differ by row and key."""
        path = self.batch.files.openhands_script
        if not path.exists():
            title = f"one trial of {self.batch.job.name}; config.toml in its folder has the key of the trial"
            write_text(path, script_of(argv, title=title, cwd=tree, plain=plain, secret=secret.keys() - plain.keys()))


def _dataset(name: str) -> str:
    return f"{ROWS}/{name}.jsonl"
