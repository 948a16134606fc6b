"""A claimed job of the stand-in's tasks, driven without a proxy: its agents ask the scripted model itself."""

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.openhands_checkout.making import StandIn, write_rows
from trajgen_assets.core.capture.proxy import RunningProxy
from trajgen_assets.core.checkouts.pin import pins_of
from trajgen_assets.core.checkouts.update import update
from trajgen_assets.core.config.load import load_config
from trajgen_assets.core.intake.registration import register_source
from trajgen_assets.core.keys import MAIN_CAMPAIGN
from trajgen_assets.core.ledger.models import Batch as Tasks
from trajgen_assets.core.ledger.models import JobRow
from trajgen_assets.core.ledger.store import create_ledger, open_ledger
from trajgen_assets.core.openhands.driver import OpenHandsHarness
from trajgen_assets.core.openhands.environment import ready_environment
from trajgen_assets.core.openhands.run import OpenHandsRun
from trajgen_assets.core.paths import JobPaths, Root
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.process import ProcessId, record_processes
from trajgen_assets.core.rollout.batch import stage_for
from trajgen_assets.core.rollout.harness import Batch, Harness, Workplace
from trajgen_assets.core.rollout.harnesses import harness_of
from trajgen_assets.core.rollout.results import TrialResult, read_trial_result

JOB, DATASET = "job-1", "tasks"
LIMIT_S = 60.0


@dataclass(frozen=True)
class Job:
    """A root with one claimed job of all its tasks."""

    root: Root
    platform: Platform

    @property
    def files(self) -> JobPaths:
        return self.root.job(JOB)

    @property
    def row(self) -> JobRow:
        return self.platform.ledger.job(JOB)

    @property
    def harness(self) -> Harness:
        return harness_of(self.platform.config)

    @contextmanager
    def running(self, *, n_concurrent: int = 2) -> Iterator[OpenHandsRun]:
        """The driver at work; whoever has the run follows it."""
        harness, config = self.harness, self.platform.config
        assert isinstance(harness, OpenHandsHarness)
        self.files.proxy.mkdir(parents=True, exist_ok=True)
        rows = self.platform.ledger.tasks_of_job(JOB)
        batch = Batch(
            platform=self.platform,
            job=self.row,
            campaign=config.campaign(MAIN_CAMPAIGN),
            tasks=[stage_for(self.platform, row) for row in rows],
            workplace=Workplace([ready_environment(config, self.root.env, print)]),
            proxy=model_as_proxy(config.campaign(MAIN_CAMPAIGN).llm_api.pool[0].api_base_url, self.files.proxy),
            n_concurrent=n_concurrent,
            lock_fd=0,
            started=lambda ids: record_processes(self.files.processes, ids),
        )
        with harness.running(batch) as run:
            yield run

    def roll_out(self, *, n_concurrent: int = 2) -> dict[str, TrialResult]:
        """Drive the job to its end; the results by task."""
        with self.running(n_concurrent=n_concurrent) as run:
            follow(run)
        return self.results()

    def results(self) -> dict[str, TrialResult]:
        found = (read_trial_result(path.parent) for path in self.files.dir.glob("*/result.json"))
        return {result.task_id or "": result for result in found if result is not None}

    def events(self) -> list[str]:
        lines = self.files.events.read_text().splitlines() if self.files.events.exists() else []
        return [str(yaml.safe_load(line)["event"]) for line in lines]


def follow(run: OpenHandsRun, *, until: Any = None) -> None:
    """Bring the run forward until it ends, or `until` holds."""
    deadline = time.monotonic() + LIMIT_S
    while run.poll() is None and not (until and until()):
        assert time.monotonic() < deadline, run.log_tail()
        time.sleep(0.02)


def model_as_proxy(base_url: str, folder: Path) -> RunningProxy:
    """The scripted model where the driver expects its proxy; any trial key will do there."""
    host, _, port = base_url.removeprefix("http://").removesuffix("/v1").partition(":")
    return RunningProxy(JOB, host, int(port), "scripted", folder, ProcessId(1, 0.0), "sk-x")


def configured(root: Root, stand_in: StandIn, base_url: str, rows: Sequence[dict[str, Any]], **openhands: Any) -> Path:
    """Write the configuration of a root, and the rows that it names."""
    root.path.mkdir(parents=True)
    write_rows(root.path / "rows" / f"{DATASET}.jsonl", rows)
    (root.path / "verified.txt").write_text("".join(f"{each['instance_id']}\n" for each in rows))
    chosen = {
        "evaluator": "velora",
        "python": str(stand_in.python),
        "language": "python",
        "max_iterations": 8,
        "use_instance_image": False,
        "native_tool_calling": True,
        "timeout_s": 60,
    }
    source = {"provider": "multi_swe_jsonl", "dataset_name": f"rows/{DATASET}.jsonl", "manifest": "verified.txt"}
    inputs = {
        "llm_api": {"model": "openai/scripted", "api_base_url": base_url, "api_key": "k"},
        "task_source": source,
        "rollout": {"harness": "openhands"},
        "openhands": chosen | openhands,
        "harbor_job": {"environment": "docker"},
    }
    config = {"meta_info": {"repositories": {"openhands": stand_in.repository}}, "runtime_info": {"input": inputs}}
    (root.path / "config.yaml").write_text(yaml.safe_dump(config))
    return root.path / "config.yaml"


@contextmanager
def claimed(root: Root) -> Iterator[Job]:
    """The job of a configured root, with its checkout; made, or found as another process left it."""
    config = load_config(root.path / "config.yaml")
    is_new = not root.ledger.exists()
    if is_new:
        update(pins_of(config)["openhands"], print)
        create_ledger(root)
    with open_ledger(root) as ledger:
        if is_new:
            for source in config.sources():
                register_source(ledger, source, MAIN_CAMPAIGN)
            ledger.assign(JOB, Tasks(MAIN_CAMPAIGN, DATASET, limit=9))
            ledger.claim(JOB, "run", ttl_s=600)
        yield Job(root, Platform(root, config, ledger))


def drive_elsewhere(root: Root, environ: dict[str, str]) -> "subprocess.Popen[bytes]":
    """Drive the job in a process of its own, which can be killed."""
    code = "import sys; from tests.integration.openhands_jobs import drive; drive(sys.argv[1])"
    return subprocess.Popen([sys.executable, "-c", code, str(root.path)], env=environ)


def drive(path: str) -> None:
    """What that process does."""
    with claimed(Root.from_environ(path)) as job:
        job.roll_out()
