"""A root with one job that is over, in order as far as a test leaves it so, and what looks at it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from resources.instance import dagster_environ, open_instance, prepare_instance
from tests.configuration import config_text
from tests.unit.intake.conftest import write_task
from tests.unit.ledger.twins import batch, graded, key, settle
from tests.unit.sft.twin import JobOnDisk, solved
from trajgen_assets.core.intake.digest import task_digest
from trajgen_assets.core.intake.staging import stage_task
from trajgen_assets.core.ledger import create_ledger, open_ledger
from trajgen_assets.core.ledger.models import AskedBy, JobState, ListedTask, ManifestSeen
from trajgen_assets.core.paths import Root
from trajgen_assets.definitions import defs
from trajgen_assets.names import DATA_JOB, JOB_RESULT, JOBS, SFT_IM
from trajgen_assets.partitions import add_partitions

JOB, DATASET = "demo-job", "py-cc"
TASK_IDS = ("a", "b")
Evaluations = dict[str, dg.AssetCheckEvaluation]


@dataclass
class Site:
    """A root with two tasks, staged and rolled out by one job that is over; what is wrong with it a test decides."""

    root: Root
    source: Path
    instance: dg.DagsterInstance
    on_disk: JobOnDisk

    @property
    def config(self) -> Path:
        return self.root.path / "config.yaml"

    def configure(self, **sections: Any) -> None:
        conversion = {"enabled": True, "instance_status": "all"}
        self.config.write_text(config_text(self.source, **({"sft_conversion": conversion} | sections)))

    def sum_up(self) -> Evaluations:
        """What is evaluated beside a job's result and data."""
        self.on_disk.write()
        return evaluations(self.make_data(), JOB_RESULT)

    def make_data(self) -> dg.ExecuteInProcessResult:
        job = defs().resolve_job_def(DATA_JOB)
        assets = [JOB_RESULT, SFT_IM]
        return job.execute_in_process(
            instance=self.instance, partition_key=JOB, asset_selection=assets, raise_on_error=False
        )

    def execute(self, asset: dg.AssetKey, name: str) -> dg.AssetCheckEvaluation:
        """What *Execute* on the check's page does."""
        check = dg.AssetCheckKey(asset, name)
        job = defs().get_repository_def().get_job("__ASSET_JOB")
        alone = job.get_subset(asset_selection=set(), asset_check_selection={check})
        return evaluations(alone.execute_in_process(instance=self.instance), asset)[name]

    def has_data(self) -> bool:
        return self.root.job(JOB).sft.exists() or bool(self.instance.fetch_materializations(SFT_IM, limit=1).records)


def evaluations(result: dg.ExecuteInProcessResult, asset: dg.AssetKey) -> Evaluations:
    assert result.success
    data = (event.event_specific_data for event in result.all_events)
    found = [each for each in data if isinstance(each, dg.AssetCheckEvaluation)]
    return {each.check_name: each for each in found if each.asset_key == asset}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """The site, in the environment of this process."""
    root, source = Root(tmp_path / "root"), tmp_path / DATASET
    for name, value in dagster_environ(root, root.path / "config.yaml").items():
        monkeypatch.setenv(name, value)
    create_ledger(root)
    prepare_instance(root, max_jobs=1)
    for task_id in TASK_IDS:
        write_task(source / task_id)
        stage_task(source / task_id, root.tasks / DATASET / task_id)
    (source / "verifiable_tasks.txt").write_text("".join(f"{task_id}\n" for task_id in TASK_IDS))
    on_disk = job_that_is_over(root, source)
    with open_instance(root) as instance:
        add_partitions(instance, JOBS, [JOB])
        made = Site(root, source, instance, on_disk)
        made.configure()
        yield made


def job_that_is_over(root: Root, source: Path) -> JobOnDisk:
    on_disk = JobOnDisk(root.path)
    listed = [ListedTask(task_id, task_digest(source / task_id), eligible=True) for task_id in TASK_IDS]
    with open_ledger(root) as ledger:
        ledger.register("main", DATASET, listed, ManifestSeen("m", "sha", len(listed)))
        assert ledger.assign(JOB, batch(), asked_by=AskedBy.SENSOR)
        lease = ledger.claim(JOB, "run", ttl_s=60)
        for task_id in TASK_IDS:
            trial = f"{task_id}__1"
            on_disk.add(trial, solved(f"Look at {task_id}."), task_id=task_id, task_key=key(task_id).partition)
            path = f"jobs/{JOB}/{trial}/agent/litellm-trajectory.jsonl"
            settle(ledger, lease, task_id, graded(trial, trajectory_path=path))
        ledger.release(lease, JobState.FINISHED)
    return on_disk
