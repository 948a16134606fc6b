"""`force` by a click or a command: what it takes back, and when a result stays because its job would be refused."""

import socket
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.tags import RETRY_NUMBER_TAG

from resources.instance import dagster_environ, open_instance, prepare_instance
from resources.platform import PlatformResource
from tests.configuration import config_text
from tests.unit.intake.conftest import write_task
from tests.unit.ledger.twins import graded, settle, start
from trajgen_assets.cli.start import code_of_no_job, next_job
from trajgen_assets.core.config.load import load_config
from trajgen_assets.core.errors import ConfigError, EndpointError, RefusedError, TrajgenError
from trajgen_assets.core.exit_codes import EXIT_FAILED, EXIT_OK, EXIT_USAGE
from trajgen_assets.core.intake.registration import register_source
from trajgen_assets.core.keys import MAIN_CAMPAIGN, TaskKey
from trajgen_assets.core.ledger import Ledger, create_ledger, open_ledger
from trajgen_assets.core.ledger.models import JobState, TaskFilter, TaskStatus
from trajgen_assets.core.paths import Root
from trajgen_assets.core.rollout.slots import job_slot
from trajgen_assets.definitions import defs
from trajgen_assets.launches import RANGE_END_TAG, RANGE_START_TAG, run_config
from trajgen_assets.names import ROLLOUT_JOB, ROLLOUT_OP
from trajgen_assets.partitions import show_new_partitions

TASKS = ("a", "b", "c")

# Nothing answers there: a run that comes to roll out is refused, and has consumed nothing.


@dataclass
class Host:
    root: Root
    instance: dg.DagsterInstance
    ledger: Ledger
    accepted_digest: str | None

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

    def start(self) -> None:
        """As `trajgen start --tasks a --tasks b --tasks c --force`, up to the job's own run."""
        with PlatformResource().opened() as platform:
            next_job(platform, self.instance, tasks=list(TASKS), force=True)

    def configure(self, old: str, new: str) -> None:
        config = self.root.path / "config.yaml"
        config.write_text(config.read_text().replace(old, new))

    def assert_untouched(self) -> None:
        """Both results count, their job's data needs not be made anew, and no job was made that only ends refused."""
        assert (self.accepted("a"), self.accepted("b")) == ([True], [True])
        assert self.statuses() == [TaskStatus.DONE, TaskStatus.DONE, TaskStatus.PENDING]
        assert self.ledger.superseded_trials("earlier") == set()
        assert self.ledger.job("earlier").accepted_digest == self.accepted_digest
        assert [job.name for job in self.ledger.jobs()] == ["earlier"]

    def accepted(self, task_id: str) -> list[bool]:
        return [attempt.accepted for attempt in self.ledger.attempts(TaskKey(MAIN_CAMPAIGN, "py-cc", task_id))]

    def statuses(self) -> list[TaskStatus]:
        return [row.status for row in self.ledger.rows()]


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """Tasks a and b are done, c is free."""
    root, source = Root(tmp_path / "root"), tmp_path / "py-cc"
    for task_id in TASKS:
        write_task(source / task_id, instruction=f"Mend {task_id}.\n")
    (source / "verifiable_tasks.txt").write_text("".join(f"{task_id}\n" for task_id in TASKS))
    create_ledger(root)
    config = root.path / "config.yaml"
    config.write_text(config_text(source, harbor_job={"environment": "local"}, automation={"max_jobs": 1}))
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
        yield Host(root, instance, ledger, ledger.job("earlier").accepted_digest)


def obstruct(host: Host, obstacle: str) -> None:
    """Make a job be refused when it begins; nothing listens at the endpoint anyway."""
    if obstacle == "pause":
        host.ledger.pause("py-cc", "ann", "new keys")
    if obstacle == "unset key":
        host.configure("api_key: k", "api_key: ${TRAJGEN_NOT_SET}")


@pytest.fixture
def endpoint(host: Host) -> Iterator[None]:
    """Something listens where the model should be: the quick checks of a job pass."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        host.configure("127.0.0.1:9/", f"127.0.0.1:{listener.getsockname()[1]}/")
        yield


@pytest.mark.parametrize(
    ("obstacle", "words"),
    [("dead endpoint", "out of reach"), ("unset key", "TRAJGEN_NOT_SET"), ("pause", "paused by ann")],
)
def test_a_forced_click_that_is_refused_takes_no_result_away_and_says_why(
    host: Host, obstacle: str, words: str
) -> None:
    obstruct(host, obstacle)
    result = host.click(force=True)
    (failed,) = [event for event in result.all_events if event.is_step_failure]
    data = failed.step_failure_data.user_failure_data
    assert data is not None
    assert words in (data.description or "")
    host.assert_untouched()


@pytest.mark.parametrize(
    ("obstacle", "error"), [("dead endpoint", EndpointError), ("unset key", ConfigError), ("pause", RefusedError)]
)
def test_a_forced_start_that_is_refused_takes_no_result_away(
    host: Host, obstacle: str, error: type[TrajgenError]
) -> None:
    obstruct(host, obstacle)
    with pytest.raises(error):
        host.start()
    host.assert_untouched()


@pytest.mark.usefixtures("endpoint")
def test_a_click_with_force_supersedes_what_was_accepted_and_keeps_it_on_record(host: Host) -> None:
    with job_slot(host.root.locks, 1, holder="another job"):
        assert not host.click(force=True).success  # its job waits for room, and is left to the sensor
    assert host.statuses() == [TaskStatus.PENDING] * 3
    assert (host.accepted("a"), host.accepted("b")) == ([False], [False])
    assert host.ledger.superseded_trials("earlier") == {"a__1", "b__1"}
    assert host.ledger.job("earlier").accepted_digest != host.accepted_digest
    assert [job.n_tasks for job in host.ledger.jobs(JobState.ASSIGNED)] == [3]
    host.ledger.check_balance()


@pytest.mark.usefixtures("endpoint")
def test_a_start_with_force_supersedes_what_was_accepted(host: Host) -> None:
    host.start()
    assert (host.accepted("a"), host.accepted("b")) == ([False], [False])
    assert [job.n_tasks for job in host.ledger.jobs(JobState.ASSIGNED)] == [3]
    host.ledger.check_balance()


def test_named_tasks_that_are_all_done_are_nothing_left_to_do_and_any_other_is_not(
    host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    with PlatformResource().opened() as platform:
        assert next_job(platform, host.instance, tasks=["a", "b"]) is None
    assert (
        "2 are done, 0 failed, 0 skipped, 0 wait for a usable folder, 0 are in a job, 0 are excluded, 1 are free"
        in (capsys.readouterr().out)
    )
    among = TaskFilter(MAIN_CAMPAIGN, None)
    assert code_of_no_job(host.ledger, among, ["a", "b"], force=False) == EXIT_OK
    assert code_of_no_job(host.ledger, among, ["a", "b"], force=True) == EXIT_FAILED
    assert code_of_no_job(host.ledger, among, ["a", "no-such-task"], force=False) == EXIT_USAGE


def test_a_click_without_force_takes_nothing_back(host: Host) -> None:
    assert not host.click(force=False).success
    assert (host.accepted("a"), host.accepted("b")) == ([True], [True])
    assert [job.n_tasks for job in host.ledger.jobs(JobState.REFUSED)] == [1]


def test_a_forced_run_that_dagster_retries_takes_nothing_back_again(host: Host) -> None:
    assert not host.click(force=True, retry=True).success
    assert (host.accepted("a"), host.accepted("b")) == ([True], [True])
    assert host.statuses() == [TaskStatus.DONE, TaskStatus.DONE, TaskStatus.PENDING]
    assert [job.n_tasks for job in host.ledger.jobs(JobState.REFUSED)] == [1]  # only what the dead run left undone
