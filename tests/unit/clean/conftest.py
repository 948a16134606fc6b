"""A root with one job that is over and converted, a site, logs, staged tasks, and all that must never go."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.configuration import config_text
from tests.integration.finished_job import JOB, job_that_is_over
from tests.trees import State, found_in
from tests.unit.intake.conftest import write_task
from trajgen_assets.cli.main import app
from trajgen_assets.core.intake.staging import stage_task
from trajgen_assets.core.ledger import create_ledger
from trajgen_assets.core.paths import JobPaths, Root
from trajgen_assets.core.sft.convert import convert_job
from trajgen_assets.core.sft.settings import ConversionSettings

# What no command of cleaning may touch.
KEPT = ("archives/run_001/metadata.yaml", "index.yaml", "dagster_home/dagster.yaml", "spend/2026-11-26.jsonl")


@dataclass
class Place:
    """The root, its configuration, and the folder that its tasks come from."""

    root: Root
    config: Path
    source: Path

    @property
    def job(self) -> JobPaths:
        return self.root.job(JOB)

    def run(self, *words: str) -> Result:
        return CliRunner().invoke(app, ["--root", str(self.root.path), "--config", str(self.config), *words])

    def bytes_of(self, *names: str) -> State:
        return {path: node for name in names for path, node in found_in(self.root.path / name).items()}


def place_at(folder: Path) -> Place:
    root, source = Root(folder / "artifacts"), folder / "py-cc"
    create_ledger(root)
    job_that_is_over(root)
    for task_id in ("a", "b"):
        write_task(source / task_id)
        stage_task(source / task_id, root.tasks / "py-cc" / task_id, mode="copy" if task_id == "a" else "link")
    (source / "verifiable_tasks.txt").write_text("a\nb\n")
    config = folder / "config.yaml"
    config.write_text(config_text(source, sft_conversion={"instance_status": "all"}))
    convert_job(root.job(JOB), ConversionSettings(instance_status="all"), n_workers=0)
    for name in (
        *KEPT,
        "dashboard/site/.site.json",
        "dashboard/site/index.html",
        "logs/dagster-daemon.log",
        f"litellm/{JOB}/litellm_config.yaml",
    ):
        (root.path / name).parent.mkdir(parents=True, exist_ok=True)
        (root.path / name).write_text(name)
    return Place(root, config, source)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return place_at(tmp_path)
