"""A host on which one job has ended, and whoever makes its result and its data there."""

from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest

from resources.instance import dagster_environ, open_instance, prepare_instance
from resources.platform import PlatformResource
from sensors.finished_jobs import finished_jobs
from tests.configuration import config_text
from tests.faults import Points
from tests.unit.ledger.twins import POLICY, SetClock, batch, graded, key, listed, register
from tests.unit.sft.twin import JobOnDisk, solved
from trajgen_assets.core.ledger import Ledger, create_ledger, open_ledger
from trajgen_assets.core.ledger.models import AskedBy, JobRow, JobState
from trajgen_assets.core.paths import Root
from trajgen_assets.definitions import defs
from trajgen_assets.launches import RUN_KEY_TAG
from trajgen_assets.names import DATA_JOB, JOB_RESULT, JOBS, SFT_IM, SFT_LF
from trajgen_assets.partitions import add_partitions

JOB = "demo-job"
ALL = [JOB_RESULT, SFT_IM, SFT_LF]


@dataclass
class Host:
    """A root with one job that is over, and whoever makes its data."""

    root: Root
    points: Points
    instance: dg.DagsterInstance

    def configure(self, *, enabled: bool = True) -> None:
        conversion = {"enabled": enabled, "instance_status": "all"}
        text = config_text(self.root.path / "py-cc", sft_conversion=conversion)
        (self.root.path / "config.yaml").write_text(text)

    def ledger(self) -> AbstractContextManager[Ledger]:
        return open_ledger(self.root)

    def tick(self) -> tuple[list[dg.RunRequest], str]:
        """What a tick of the sensor asks for, and else its words."""
        result = finished_jobs(
            dg.build_sensor_context(instance=self.instance, resources={"platform": PlatformResource()})
        )
        if isinstance(result, dg.SkipReason):
            return [], str(result.skip_message)
        assert isinstance(result, dg.SensorResult)
        return list(result.run_requests or []), ""

    def follow(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        """Execute the run that was asked for, with the tags that the daemon gives it."""
        return self.materialize(
            list(request.asset_selection or []), tags={**request.tags, RUN_KEY_TAG: str(request.run_key)}
        )

    def materialize(self, assets: list[dg.AssetKey], tags: dict[str, str] | None = None) -> dg.ExecuteInProcessResult:
        add_partitions(self.instance, JOBS, [JOB])
        return (
            defs()
            .resolve_job_def(DATA_JOB)
            .execute_in_process(
                instance=self.instance,
                partition_key=JOB,
                asset_selection=assets,
                tags=tags,
                raise_on_error=False,
            )
        )

    def materialized(self) -> Counter[dg.AssetKey]:
        found = {key: self.instance.fetch_materializations(key, limit=10).records for key in ALL}
        return Counter({key: len(records) for key, records in found.items() if records})

    def job(self) -> JobRow:
        with self.ledger() as ledger:
            return ledger.job(JOB)


@contextmanager
def finished_host(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """The host; whatever is executed in this process finds its root."""
    root = Root(folder / "root")
    for name, value in dagster_environ(root, root.path / "config.yaml").items():
        monkeypatch.setenv(name, value)
    create_ledger(root)
    prepare_instance(root, max_jobs=1)
    job_that_is_over(root)
    with open_instance(root) as instance:
        made = Host(root, Points(folder / "points"), instance)
        made.configure()
        yield made


def job_that_is_over(root: Root, job: str = JOB, said: dict[str, str] | None = None, campaign: str = "main") -> None:
    """A job of one solved trial of each task; `said` is what the model thinks in each."""
    said = said or {"a": "Look at a.", "b": "Look at b."}
    on_disk = JobOnDisk(root.path, job)
    with open_ledger(root, now=SetClock()) as ledger:
        register(ledger, *(listed(task_id, "d1") for task_id in said), campaign=campaign, whole=False)
        assert ledger.assign(job, batch(task_ids=list(said), campaign=campaign), asked_by=AskedBy.START)
        lease = ledger.claim(job, "run", ttl_s=60)
        for task_id, words in said.items():
            task, trial = key(task_id, campaign=campaign), f"{task_id}__{job}"
            on_disk.add(trial, solved(words), task_id=task_id, task_key=task.partition)
            path = f"jobs/{job}/{trial}/agent/litellm-trajectory.jsonl"
            digest = on_disk.entries[-1].trajectory_sha256
            ledger.record_attempt(lease, task, graded(trial, trajectory_path=path, trajectory_sha256=digest), POLICY)
        ledger.release(lease, JobState.FINISHED)
    on_disk.write(campaign=campaign)
