"""Several drivers on one ledger: together they roll out every task once in each campaign, within the host's slots."""

import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES

from resources.instance import open_instance
from tests.e2e.at_once import Seen, Span, most_at_once, overlap, watched
from tests.e2e.clicks import WebUi
from tests.e2e.conftest import IN_BOTH_STORES, KEY_ENV, SECRET, SOLVED, TASKS, UNSOLVED, Installation, files_with
from tests.ports import free_port
from tests.waiting import wait_until
from trajgen_assets.core.config.load import load_config
from trajgen_assets.core.intake.registration import register_source
from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.ledger.models import AskedBy, JobRow, JobState, TaskFilter
from trajgen_assets.core.ledger.store import open_ledger
from trajgen_assets.core.paths import LEDGER_URL_ENV, Root
from trajgen_assets.core.rollout.events import EventFeed
from trajgen_assets.core.rollout.slots import live_holders
from trajgen_assets.core.rollout.trial_slots import this_host
from trajgen_assets.core.rollout.trials import load_trials
from trajgen_assets.core.scripted import ScriptedModel
from trajgen_assets.names import JOB_RESULT, TRAJECTORIES
from trajgen_assets.names import TASKS as TASK_PARTITIONS

pytestmark = pytest.mark.e2e

DATASET = "copies"
DRIVER_TIME_S = 280.0
UI_TIME_S = 120.0
QUIET_S_PER_TASK = 30.0

# Three jobs of two trials each would need six trial slots: the third begins with one.
MAX_JOBS, MAX_TRIALS = 3, 5

CONFIG = """\
runtime_info:
  input:
    llm_api: {{model: openai/scripted, api_base_url: "{base_url}", api_key: "${{{key_env}}}"}}
    task_source: {{dataset_name: "{tasks}", staging: {staging}}}
    harbor_job: {{environment: local, n_concurrent: 2, timeout_multiplier: 1}}
    automation: {automation}
    campaigns: {{one: {{agent: {{name: oracle}}}}, two: {{agent: {{name: oracle}}}}}}
"""
TOGETHER = f"{{enabled: true, batch_max: 3, max_jobs: {MAX_JOBS}, max_trials: {MAX_TRIALS}}}"

Install = Callable[..., Installation]


@pytest.fixture
def install(tmp_path: Path, env_dir: Path, model: ScriptedModel, store: dict[str, str]) -> Iterator[Install]:
    """Makes a root over so many copies of the bundled tasks."""
    installation = Installation(Root(tmp_path / "root", env_dir, store.get(LEDGER_URL_ENV)), extra_environ=store)

    def make(n_tasks: int, *, staging: str = "copy", automation: str = "{}") -> Installation:
        folder = tmp_path / DATASET
        names = [f"{(*SOLVED, UNSOLVED)[n % 4]}-{n:03}" for n in range(n_tasks)]
        for name in names:
            shutil.copytree(TASKS / name.rpartition("-")[0], folder / name)
        (folder / "verifiable_tasks.txt").write_text("".join(f"{name}\n" for name in names))
        installation.root.path.mkdir()
        settings = {"base_url": model.base_url, "key_env": KEY_ENV, "tasks": folder}
        installation.config.write_text(CONFIG.format(**settings, staging=staging, automation=automation))
        assert installation.run("setup", "--skip-environments")[0] == 0
        return installation

    yield make
    assert installation.processes() == []
    assert live_holders(installation.root.locks) == set()
    with open_ledger(installation.root) as ledger:
        assert ledger.slots_in_use(this_host()) == 0
    assert files_with(SECRET, installation.root.path) == []


def accepted(installation: Installation) -> Counter[str]:
    """How often each task has an accepted trial, by what lies on disk."""
    entries = [entry for path in installation.root.jobs.glob("*/trials.json") for entry in load_trials(path).trials]
    return Counter(entry.task_key for entry in entries if entry.accepted)


def span(job: JobRow) -> Span:
    assert job.started_at is not None
    assert job.finished_at is not None
    return job.started_at, job.finished_at


@IN_BOTH_STORES
@pytest.mark.timeout(600)
def test_two_drivers_at_once_accept_each_of_two_hundred_tasks_once(install: Install) -> None:
    many = install(200, staging="in_place")
    with open_ledger(many.root) as ledger:  # a check would register only what it rolls out itself
        register_source(ledger, load_config(many.config).source(DATASET), "one")
    drivers = [many.begin("start", "--campaign", "one", "--limit", "100") for _ in range(2)]
    outputs = [driver.communicate(timeout=DRIVER_TIME_S)[0] for driver in drivers]
    assert [driver.returncode for driver in drivers] == [0, 0], outputs

    with open_ledger(many.root) as ledger:
        ledger.check_balance()
        assert ledger.counts("one").done == 200
        rows = ledger.rows(TaskFilter(campaign="one"))
        assert {row.n_attempts for row in rows} == {1}
        assert len({row.last_job for row in rows}) == 2
    assert accepted(many) == {row.key.partition: 1 for row in rows}


@IN_BOTH_STORES
def test_two_campaigns_at_once_over_the_same_tasks_accept_each_once_in_each(install: Install) -> None:
    shared = install(20)  # both stage to the same folders
    drivers = [shared.begin("start", "--campaign", campaign, "--limit", "20") for campaign in ("one", "two")]
    outputs = [driver.communicate(timeout=DRIVER_TIME_S)[0] for driver in drivers]
    assert [driver.returncode for driver in drivers] == [0, 0], outputs

    with open_ledger(shared.root) as ledger:
        ledger.check_balance()
        rows = ledger.rows()
        assert [ledger.counts(campaign).done for campaign in ("one", "two")] == [20, 20]
        assert {row.n_attempts for row in rows} == {1}
        one, two = ledger.jobs()
        assert {one.campaign, two.campaign} == {"one", "two"}
        assert overlap(span(one), span(two))
    assert len(rows) == 40
    assert accepted(shared) == {row.key.partition: 1 for row in rows}


@pytest.mark.timeout(1800)
@pytest.mark.faults
@pytest.mark.parametrize(
    ("n_tasks", "selected", "store"),
    [(18, slice(-8, None), "files"), (18, slice(-8, None), "server"), (40, slice(1, None, 4), "files")],
    indirect=["store"],
)
def test_daemon_terminals_and_clicks_at_once_roll_out_each_task_once_within_the_slots(
    install: Install, n_tasks: int, selected: slice
) -> None:
    """A selection with gaps becomes one run for each range in it, most of which find their tasks taken."""
    host, limit_s = install(n_tasks, automation=TOGETHER), n_tasks * QUIET_S_PER_TASK
    partitions = [f"{DATASET}/{(*SOLVED, UNSOLVED)[n % 4]}-{n:03}" for n in range(n_tasks)]
    with watched(host.root) as seen, ThreadPoolExecutor() as pool:
        start = partial(pool.submit, host.run, "start", "--limit", "2", timeout_s=limit_s)
        terminals = [start()]
        with web_ui(host) as ui:
            wait_until(lambda: are_partitions(host, n_tasks), limit_s=UI_TIME_S)
            terminals += [start(), start()]
            backfill = click_about(ui, partitions, partitions[selected])
            wait_until(lambda: is_quiet(host, n_tasks) and ui.is_over(backfill), limit_s=limit_s)
        ended = [terminal.result() for terminal in terminals]
    assert [code for code, _ in ended] == [0, 0, 0], ended

    with open_ledger(host.root) as ledger:
        check_each_once(host, ledger, partitions)
        check_within_the_slots(ledger, seen)
        check_at_the_same_time(ledger)
    check_shown_once(host, partitions)


@contextmanager
def web_ui(installation: Installation) -> Iterator[WebUi]:
    """`trajgen ui`, which is the web server and the daemon with all sensors on, until Ctrl-C."""
    port = free_port()
    child = installation.begin("ui", "--port", str(port))
    try:
        ui = WebUi(f"http://127.0.0.1:{port}")
        wait_until(ui.answers, limit_s=UI_TIME_S, alive=lambda: child.poll() is None)
        yield ui
    finally:
        child.send_signal(signal.SIGINT)
        output, _ = child.communicate(timeout=UI_TIME_S)
    assert child.returncode == 0, output


def click_about(ui: WebUi, partitions: list[str], selection: list[str]) -> str:
    """Ask for single tasks, one of them twice, and for a selection; others have some of these, or want them, too.

    Returns:
        The backfill of the selection. It is over when all that it asked for has ended.
    """
    for partition in (partitions[-1], partitions[0], partitions[-1], partitions[-2]):
        ui.materialize(partition)
    return ui.backfill(selection)


def are_partitions(installation: Installation, n: int) -> bool:
    with open_instance(installation.root) as instance:
        return len(instance.get_dynamic_partitions(TASK_PARTITIONS)) == n


def is_quiet(installation: Installation, n_tasks: int) -> bool:
    """Whether every task is done, every job summed up, and no run left."""
    with open_ledger(installation.root) as ledger:
        going_on = ledger.jobs(JobState.ASSIGNED, JobState.RUNNING) or ledger.jobs_needing_downstream()
        if ledger.counts().done < n_tasks or going_on:
            return False
    with open_instance(installation.root) as instance:
        return not instance.get_runs_count(dg.RunsFilter(statuses=NOT_FINISHED_STATUSES))


def check_each_once(host: Installation, ledger: Ledger, partitions: list[str]) -> None:
    """One job began each task, one trial was made of it, and that was accepted."""
    once = dict.fromkeys(partitions, 1)
    assert ledger.check_balance().done == len(partitions)
    assert accepted(host) == once
    begun = [job for job in ledger.jobs() if job.started_at is not None]
    assert {job.state for job in begun} == {JobState.FINISHED}
    assert Counter(row.key.partition for job in begun for row in ledger.tasks_of_job(job.name)) == once
    assert {row.key.partition: len(ledger.attempts(row.key)) for row in ledger.rows()} == once
    feeds = [EventFeed(host.root.job(job.name).events).read() for job in begun]
    started = [event.task_dir for feed in feeds for event in feed if event.event == "trial_started"]
    assert Counter(f"{DATASET}/{folder.name}" for folder in started if folder) == once


def check_within_the_slots(ledger: Ledger, seen: Seen) -> None:
    """Never more than the host has, by what was seen and by when each job and trial began and ended."""
    assert seen.n_looks > 100
    assert seen.without_a_slot == frozenset()
    assert seen.n_jobs <= MAX_JOBS
    assert max(seen.n_trial_slots, seen.n_sandboxes) <= MAX_TRIALS
    begun = [job for job in ledger.jobs() if job.started_at is not None]
    assert most_at_once(map(span, begun)) <= MAX_JOBS
    attempts = [attempt for job in begun for _, attempt in ledger.job_attempts(job.name)]
    spans = [(each.started_at, each.finished_at) for each in attempts if each.started_at and each.finished_at]
    assert len(spans) == len(attempts)
    assert most_at_once(spans) <= MAX_TRIALS


def check_at_the_same_time(ledger: Ledger) -> None:
    """Each kind of driver had a job that ran beside one of another kind."""
    begun = [job for job in ledger.jobs() if job.started_at is not None]
    beside = {one.asked_by for one in begun for other in begun if one.asked_by is not other.asked_by
              and overlap(span(one), span(other))}  # fmt: skip
    assert beside == set(AskedBy)


def check_shown_once(host: Installation, partitions: list[str]) -> None:
    """Dagster has one event for each task, and one for each job."""
    with open_ledger(host.root) as ledger, open_instance(host.root) as instance:
        jobs = [job.name for job in ledger.jobs() if job.started_at is not None]
        for asset, keys in ((TRAJECTORIES, partitions), (JOB_RESULT, jobs)):
            found = instance.fetch_materializations(asset, limit=1000).records
            assert Counter(record.partition_key for record in found) == dict.fromkeys(keys, 1)
