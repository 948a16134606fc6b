"""Where everything lies. Nothing else joins path parts of the artifacts tree by hand."""

import os
from dataclasses import dataclass, field
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]

LEDGER_URL_ENV = "TRAJGEN_LEDGER_URL"
DAGSTER_URL_ENV = "DAGSTER_POSTGRES_URL"

HOST_NAME = "host.json"
"""In the folder of each job that was rolled out, here or in another root."""


@dataclass(frozen=True)
class Root:
    """One artifacts root: `artifacts/` for real work, `artifacts/demo/` for the demo.

    A root has a ledger, a `DAGSTER_HOME`, jobs and data of its own; the uv environments are shared by
    all roots of a checkout (`env`), because they hold nothing of any job.

    Attributes:
        ledger_url: the database server that the environment names for the ledger; it may hold a password.
    """

    path: Path
    env: Path = PROJECT / "artifacts" / "env"
    ledger_url: str | None = field(default=None, repr=False)

    @classmethod
    def from_environ(cls, path: str | Path | None = None) -> "Root":
        """Take `path`, else `TRAJGEN_ROOT`, else `artifacts/` of this checkout; environments from `TRAJGEN_ENV_DIR`."""
        chosen = Path(path or os.environ.get("TRAJGEN_ROOT") or PROJECT / "artifacts").expanduser().absolute()
        env = Path(os.environ.get("TRAJGEN_ENV_DIR") or cls.env).expanduser().absolute()
        return cls(chosen, env, os.environ.get(LEDGER_URL_ENV, "").strip() or None)

    @property
    def ledger(self) -> Path:
        return self.path / "ledger.sqlite"

    @property
    def ledger_place(self) -> Path:
        """Names the server that has the ledger, where one has."""
        return self.path / "ledger_server.yaml"

    @property
    def ledger_view(self) -> Path:
        return self.path / "consumption_ledger.yaml"

    @property
    def tasks(self) -> Path:
        return self.path / "tasks"

    @property
    def jobs(self) -> Path:
        return self.path / "jobs"

    @property
    def litellm(self) -> Path:
        return self.path / "litellm"

    @property
    def sft_data(self) -> Path:
        return self.path / "sft_data"

    @property
    def archives(self) -> Path:
        return self.path / "archives"

    @property
    def index(self) -> Path:
        return self.path / "index.yaml"

    @property
    def status(self) -> Path:
        return self.path / "status.yaml"

    @property
    def locks(self) -> Path:
        return self.path / "locks"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def alerts(self) -> Path:
        return self.logs / "alerts.jsonl"

    @property
    def alerts_sent(self) -> Path:
        """One line for each try to send an alert out."""
        return self.logs / "alerts_sent.jsonl"

    @property
    def heartbeat(self) -> Path:
        return self.logs / "heartbeat"

    @property
    def spend(self) -> Path:
        """One file a day in UTC of what the model calls of all jobs took."""
        return self.path / "spend"

    @property
    def sandboxes(self) -> Path:
        return self.path / "sandboxes"

    @property
    def dashboard(self) -> Path:
        """The site in `site/`, and beside it what its building remembers. `artifacts/` has it beside itself."""
        is_of_checkout = self.path == PROJECT / "artifacts"
        return (PROJECT if is_of_checkout else self.path) / "dashboard"

    @property
    def dagster_home(self) -> Path:
        return self.path / "dagster_home"

    def job(self, name: str) -> "JobPaths":
        """The files of one job."""
        return JobPaths(self.jobs / name, self.litellm / name, self.sft_data / name)


@dataclass(frozen=True)
class JobPaths:
    """The files of one job: results under `dir`, the proxy's under `proxy`, training data under `sft`."""

    dir: Path
    proxy: Path
    sft: Path

    @property
    def result(self) -> Path:
        return self.dir / "result.json"

    @property
    def config(self) -> Path:
        return self.dir / "config.yaml"

    @property
    def trials(self) -> Path:
        return self.dir / "trials.json"

    @property
    def removed(self) -> Path:
        """Says that the trajectories of the job were removed, and when."""
        return self.dir / "removed.json"

    @property
    def llm_scores(self) -> Path:
        """What judges answered about the job's rows."""
        return self.dir / "llm_scores.jsonl"

    @property
    def host(self) -> Path:
        return self.dir / HOST_NAME

    @property
    def harbor_config(self) -> Path:
        return self.proxy / "harbor_job.yaml"

    @property
    def harbor_script(self) -> Path:
        return self.proxy / "harbor.sh"

    @property
    def openhands_script(self) -> Path:
        return self.proxy / "openhands.sh"

    @property
    def litellm_config(self) -> Path:
        return self.proxy / "litellm_config.yaml"

    @property
    def proxy_script(self) -> Path:
        return self.proxy / "proxy.sh"

    @property
    def guest(self) -> Path:
        return self.proxy / "guest"

    @property
    def compose_overlay(self) -> Path:
        return self.proxy / "compose_overlay.yaml"

    @property
    def task_digests(self) -> Path:
        return self.proxy / "task_digests.json"

    @property
    def task_copies(self) -> Path:
        """Tasks that differ on purpose from how they are staged."""
        return self.proxy / "tasks"

    @property
    def patches(self) -> Path:
        """What the guest keeps of the folders in which agents work, while their trials run."""
        return self.proxy / "patches"

    @property
    def stop(self) -> Path:
        """While it is there, the job starts no more trials."""
        return self.proxy / "stop"

    @property
    def budget_stop(self) -> Path:
        """Why no trial of the job gets another reply: the proxy's note of a budget that is used up."""
        return self.proxy / "budget_stop"

    def over_budget(self, trial_name: str) -> Path:
        """The proxy's note of the first call of a trial that a budget refused."""
        return self.proxy / "over_budget" / trial_name

    @property
    def events(self) -> Path:
        return self.proxy / "events.jsonl"

    @property
    def harbor_log(self) -> Path:
        return self.proxy / "harbor.log"

    @property
    def reap_log(self) -> Path:
        return self.proxy / "reap.log"

    @property
    def processes(self) -> Path:
        return self.proxy / "processes.json"

    def trial(self, trial_name: str) -> Path:
        return self.dir / trial_name

    def patch_taken(self, trial_name: str) -> Path:
        return self.patches / trial_name

    def patch(self, trial_name: str) -> Path:
        return self.dir / trial_name / "artifacts" / "predict_patch.diff"

    def patch_record(self, trial_name: str) -> Path:
        return self.dir / trial_name / "artifacts" / "predict_patch.json"

    def trajectory(self, trial_name: str) -> Path:
        return self.dir / trial_name / "agent" / "litellm-trajectory.jsonl"

    def capture(self, trial_name: str) -> Path:
        return self.dir / trial_name / "agent" / "capture.json"
