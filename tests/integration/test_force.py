"""A click with `force`: what it takes back, and what a run that Dagster starts again by itself does not take back."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.tags import RETRY_NUMBER_TAG

from resources.instance import dagster_environ, open_instance, prepare_instance
from tests.unit.ledger.twins import graded, settle, start
from trajgen_assets.core.config.load import load_config
from trajgen_assets.core.intake.registration import register_source
from trajgen_assets.core.keys import MAIN_CAMPAIGN, TaskKey
from trajgen_assets.core.ledger import Ledger, create_ledger, open_ledger
from trajgen_assets.core.ledger.models import JobState, TaskStatus
from trajgen_assets.core.paths import Root
from trajgen_assets.definitions import defs
from trajgen_assets.launches import RANGE_END_TAG, RANGE_START_TAG, run_config
from trajgen_assets.names import ROLLOUT_JOB, ROLLOUT_OP
from trajgen_assets.partitions import show_new_partitions

TASKS = ("a", "b", "c")

# Nothing answers there: a run that comes to roll out is refused, and has consumed nothing.
CONFIG = """\
runtime_info:
  input:
    llm_api: {{model: openai/m, api_base_url: "http://127.0.0.1:9/v1", api_key: "k"}}
    task_source: {{dataset_name: {source}}}
    harbor_job: {{environment: local}}
"""


@dataclass
class Host:
    instance: dg.DagsterInstance
    ledger: Ledger

    def click(self, *, force: bool, retry: bool = False) -> dg.ExecuteInProcessResult:
        """Select all three tasks, and launch; with `retry` as the daemon launches again a run whose worker died."""
        tags = {RANGE_START_TAG: "py-cc/a", RANGE_END_TAG: "py-cc/c"} | ({RETRY_NUMBER_TAG: "1"} if retry else {})
        return (
            defs()
            .resolve_job_def(ROLLOUT_JOB)
            .execute_in_process(
                instance=self.instance,
                tags=tags,
                run_config=run_config(ROLLOUT_OP, force=force),
                raise_on_error=False,
            )
        )

    def accepted(self, task_id: str) -> list[bool]:
        return [attempt.accepted for attempt in self.ledger.attempts(TaskKey(MAIN_CAMPAIGN, "py-cc", task_id))]

    def statuses(self) -> list[TaskStatus]:
        return [row.status for row in self.ledger.rows()]


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """Tasks a and b are done, c is free."""
    root, source = Root(tmp_path / "root"), tmp_path / "py-cc"
    for task_id in TASKS:
        for name, text in (
            ("task.toml", 'version = "1.0"\n'),
            ("instruction.md", f"Mend {task_id}.\n"),
            ("environment/Dockerfile", "FROM scratch\n"),
            ("tests/test.sh", "true\n"),
        ):
            (source / task_id / name).parent.mkdir(parents=True, exist_ok=True)
            (source / task_id / name).write_text(text)
    (source / "verifiable_tasks.txt").write_text("".join(f"{task_id}\n" for task_id in TASKS))
    create_ledger(root)
    config = root.path / "config.yaml"
    config.write_text(CONFIG.format(source=source))
    for name, value in dagster_environ(root, config).items():
        monkeypatch.setenv(name, value)
    prepare_instance(root, max_jobs=1)
    with open_ledger(root) as ledger, open_instance(root) as instance:
        for each in load_config(config).sources():
            register_source(ledger, each, MAIN_CAMPAIGN)
        show_new_partitions(instance, ledger)
        lease = start(ledger, "earlier", "run-1", "a", "b")
        for task_id in ("a", "b"):
            settle(ledger, lease, task_id, graded(f"{task_id}__1"))
        ledger.release(lease, JobState.FINISHED)
        yield Host(instance, ledger)


def test_a_click_with_force_supersedes_what_was_accepted_and_keeps_it_on_record(host: Host) -> None:
    before = host.ledger.job("earlier").accepted_digest
    assert not host.click(force=True).success  # there is no model
    assert host.statuses() == [TaskStatus.PENDING] * 3
    assert (host.accepted("a"), host.accepted("b")) == ([False], [False])
    assert host.ledger.superseded_trials("earlier") == {"a__1", "b__1"}
    assert host.ledger.job("earlier").accepted_digest != before
    forced = host.ledger.jobs(JobState.REFUSED)
    assert [job.n_tasks for job in forced] == [3]
    host.ledger.check_balance()


def test_a_click_without_force_takes_nothing_back(host: Host) -> None:
    assert not host.click(force=False).success
    assert (host.accepted("a"), host.accepted("b")) == ([True], [True])
    assert [job.n_tasks for job in host.ledger.jobs(JobState.REFUSED)] == [1]


def test_a_forced_run_that_dagster_retries_takes_nothing_back_again(host: Host) -> None:
    assert not host.click(force=True, retry=True).success
    assert (host.accepted("a"), host.accepted("b")) == ([True], [True])
    assert host.statuses() == [TaskStatus.DONE, TaskStatus.DONE, TaskStatus.PENDING]
    assert [job.n_tasks for job in host.ledger.jobs(JobState.REFUSED)] == [1]  # only what the dead run left undone
