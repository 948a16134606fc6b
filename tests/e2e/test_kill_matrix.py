"""Whatever dies or hangs, wherever: every task ends with exactly one accepted trajectory, and nothing is left behind.

A row is who is killed, a column where. A short form is part of every run of the tests; `make test-faults` runs it all.

The host lends as many trial slots as one job takes, so one that is never given back holds up everything. Caps and
pauses are those of a real host: no task may pay for more than was done to it.
"""

import hashlib
import os
import re
import shutil
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import dagster as dg
import psutil
import pytest
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES

from resources.instance import open_instance
from tests.e2e.conftest import IN_BOTH_STORES, KEY_ENV, SECRET, TASKS, Installation
from tests.faults import Points
from tests.waiting import wait_until
from trajgen_assets.cli.setup import prepare_root
from trajgen_assets.cli.state import State
from trajgen_assets.cli.ui import daemon
from trajgen_assets.core.clock import now
from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.ledger.models import JobState
from trajgen_assets.core.ledger.store import open_ledger
from trajgen_assets.core.process import ProcessId, recorded_processes
from trajgen_assets.core.redact import Redactor
from trajgen_assets.core.report.archive import file_left_open, read_runs
from trajgen_assets.core.rollout.slots import live_holders
from trajgen_assets.core.rollout.trial_slots import this_host
from trajgen_assets.core.rollout.trials import load_trials
from trajgen_assets.core.scripted import Fault, ScriptedModel
from trajgen_assets.names import TRAJECTORIES

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

FAST, SLOW = "fernhollow__stanzaconf-87", "quillmark__tablefold-341"
SLOW_PHRASE = "`tablefold` computes the width of cells correctly"
DATASET = "py-cc"
PHASE_LIMIT_S = 30
REACHED_S = 120.0
QUIET_S = 300.0

CONFIG = """\
runtime_info:
  input:
    llm_api: {{model: openai/scripted, api_base_url: "{base_url}", api_key: "${{{key_env}}}"}}
    task_source: {{dataset_name: "{tasks}"}}
    harbor_job:
      {{environment: local, n_concurrent: 2, timeout_multiplier: 1, stall_margin_s: 5}}
    automation: {{enabled: true, max_trials: 2}}
"""

# Where a process is stopped, and who is there to be killed at that time. In `mid_trial` none waits: a trial runs.
IN_A_TICK = ("after_register", "after_partitions", "after_assign")
BEFORE_HARBOR = ("before_claim", "during_staging")
WITH_HARBOR = ("mid_trial", "before_record", "during_publish", "after_record")
AT_THE_END = ("before_release", "before_archive")

MATRIX = [
    *((who, where) for who in ("daemon", "code_server", "all") for where in IN_A_TICK),
    *(
        (who, where)
        for who in ("daemon", "code_server", "run_worker", "all")
        for where in (*BEFORE_HARBOR, *AT_THE_END)
    ),
    *(
        (who, where)
        for who in ("daemon", "code_server", "run_worker", "harbor", "proxy", "all", "harbor_stopped")
        for where in WITH_HARBOR
    ),
    ("harbor_hung", "mid_trial"),
]
SHORT = [
    (("all", "after_assign"), ("run_worker", "before_claim"), ("all", "during_publish")),
    (("harbor_stopped", "mid_trial"),),
]

# Of these deaths a job in good health is the witness: they may pause launches, and count as an outside cause. When the
# driver dies, its trials were cancelled, and nothing outside has failed.
SEEN_BY_A_DRIVER = {"harbor", "proxy", "harbor_stopped"}
COUNTED_AS_OUTSIDE = {*SEEN_BY_A_DRIVER, "harbor_hung"}


@dataclass(frozen=True)
class Blow:
    """Who was struck when, and the fences of the jobs that ran then."""

    who: str
    at: datetime
    fences: dict[str, int]


@dataclass
class Host:
    """One root with its daemon, which may be killed and started again."""

    installation: Installation
    points: Points
    model: ScriptedModel
    ledger: Ledger
    pauses: set[tuple[datetime | None, int]] = field(default_factory=set)
    _stack: ExitStack = field(default_factory=ExitStack)
    _daemon: int = 0

    @property
    def state(self) -> State:
        return State(self.installation.root, self.installation.config, verbose=False)

    def start_daemon(self) -> None:
        self._daemon = self._stack.enter_context(daemon(self.state)).pid

    def close(self) -> None:
        self._stack.close()

    def wait_for(self, where: str) -> int | None:
        """Wait until it has come to `where`. Returns the pid of who waits there, if somebody does."""
        if where != "mid_trial":
            return self.points.wait(where, limit_s=REACHED_S)
        wait_until(self._slow_trial_asks, limit_s=REACHED_S)
        return None

    def _slow_trial_asks(self) -> bool:
        events = [path.read_text() for path in self.installation.root.litellm.glob("*/events.jsonl")]
        return any(re.search(f'"agent_started".*{SLOW}', text) for text in events)

    def victims(self, who: str, waiting: int | None) -> list[ProcessId]:
        """The processes that `who` names, as far as they live at this moment."""
        harbor, proxy = self._recorded("harbor"), self._recorded("proxy")
        worker = [psutil.Process(harbor[0].pid).ppid()] if harbor else [waiting] if waiting else []
        server = [child.pid for child in psutil.Process(self._daemon).children() if "grpc" in child.cmdline()]
        found = {
            "daemon": [ProcessId.of(self._daemon)],
            "code_server": [ProcessId.of(pid) for pid in server],
            "run_worker": [ProcessId.of(pid) for pid in worker],
            "harbor": harbor,
            "proxy": proxy,
        }
        names = {"all": list(found), "harbor_stopped": ["harbor"], "harbor_hung": ["run_worker"]}.get(who, [who])
        return [each for name in names for each in found[name]]

    def _recorded(self, name: str) -> list[ProcessId]:
        jobs = self.ledger.jobs(JobState.RUNNING)
        recorded = [recorded_processes(self.installation.root.job(job.name).processes) for job in jobs]
        return [ids[name] for ids in recorded if name in ids and ids[name].find()]

    def strike_at(self, who: str, where: str) -> Blow:
        """Strike when it has come to `where`, and let go on what is left alive."""
        waiting = self.wait_for(where)
        fences = {job.name: job.fence for job in self.ledger.jobs(JobState.RUNNING)}
        self.strike(who, waiting)
        blow = Blow(who, now(), fences)
        self.points.release(where)
        if who in ("daemon", "all"):
            self.start_daemon()
        return blow

    def strike(self, who: str, waiting: int | None) -> None:
        victims = self.victims(who, waiting)
        assert victims, f"{who} does not run at this moment"
        if who in ("harbor_stopped", "harbor_hung"):
            os.kill(self._recorded("harbor")[0].pid, signal.SIGSTOP)
        if who != "harbor_stopped":
            for victim in victims:
                with suppress(ProcessLookupError):
                    os.kill(victim.pid, signal.SIGKILL)
            wait_until(lambda: not any(victim.find() for victim in victims))

    def is_quiet(self) -> bool:
        """Whether all is done and nothing moves any more."""
        breaker = self.ledger.breaker_state(DATASET)
        if breaker.n_trips:  # a pause lasts a minute, so none is missed
            self.pauses.add((breaker.opened_at, breaker.n_trips))
        counts = self.ledger.counts()
        if counts.done < counts.registered or counts.done < 2 or self.ledger.jobs(JobState.ASSIGNED, JobState.RUNNING):
            return False
        with open_instance(self.installation.root) as instance:
            return not instance.get_runs_count(dg.RunsFilter(statuses=NOT_FINISHED_STATUSES))


@pytest.fixture
def host(
    installation: Installation, model: ScriptedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Host]:
    points = Points(tmp_path / "points")
    for name, value in ({KEY_ENV: SECRET} | points.environ).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    tasks = tmp_path / DATASET
    for task_id in (FAST, SLOW):
        shutil.copytree(TASKS / task_id, tasks / task_id)
        settings = tasks / task_id / "task.toml"
        settings.write_text(re.sub(r"timeout_sec = [\d.]+", f"timeout_sec = {PHASE_LIMIT_S}.0", settings.read_text()))
    (tasks / "verifiable_tasks.txt").write_text(f"{FAST}\n{SLOW}\n")
    installation.config.write_text(CONFIG.format(base_url=model.base_url, key_env=KEY_ENV, tasks=tasks))
    prepare_root(State(installation.root, installation.config, verbose=False))
    with open_ledger(installation.root) as ledger:
        made = Host(installation, points, model, ledger)
        model.set_fault(Fault.SLOW, match=SLOW_PHRASE, delay_s=3)
        try:
            yield made
        finally:
            model.set_fault(Fault.NONE)
            for left in points.folder.glob("*"):
                left.unlink()
            made.close()


@IN_BOTH_STORES
@pytest.mark.parametrize("strikes", SHORT, ids=lambda strikes: "+".join(map("-".join, strikes)))
def test_after_kills_every_task_is_accepted_once_and_nothing_is_left(
    host: Host, strikes: tuple[tuple[str, str], ...]
) -> None:
    strike_and_check(host, *strikes)


@pytest.mark.faults
@pytest.mark.parametrize(("who", "where"), MATRIX, ids=str)
def test_whoever_is_killed_wherever(host: Host, who: str, where: str) -> None:
    strike_and_check(host, (who, where))


@pytest.mark.parametrize("server_is_gone", [False, pytest.param(True, marks=pytest.mark.faults)])
def test_cancelling_a_run_keeps_what_is_done_and_gives_the_rest_back_at_once(host: Host, server_is_gone: bool) -> None:
    host.model.set_fault(Fault.SLOW, match=SLOW_PHRASE, delay_s=15)
    host.start_daemon()
    wait_until(lambda: host.ledger.counts().done == 1, limit_s=REACHED_S)
    settings = host.installation.config
    settings.write_text(settings.read_text().replace("enabled: true", "enabled: false"))  # or they would begin anew
    if server_is_gone:
        host.strike("code_server", None)
    (job,) = host.ledger.jobs(JobState.RUNNING)
    with open_instance(host.installation.root) as instance:
        assert instance.run_coordinator.cancel_run(str(job.owner))  # what the button in the web UI does
    wait_until(lambda: host.ledger.job(job.name).state is JobState.INTERRUPTED, limit_s=30)
    counts = host.ledger.check_balance()
    assert (counts.done, counts.assignable) == (1, 1)
    host.close()
    check_nothing_left(host)


def strike_and_check(host: Host, *strikes: tuple[str, str]) -> None:
    """Strike as told, one after the other; let everything come to rest; look at what came of it."""
    for _, where in strikes:
        if where != "mid_trial":
            host.points.arm(where)
    host.start_daemon()
    blows = [host.strike_at(who, where) for who, where in strikes]
    host.model.set_fault(Fault.NONE)
    wait_until(host.is_quiet, limit_s=QUIET_S)
    host.close()

    check_once_each(host)
    check_costs(host, blows)
    for blow in blows:
        if blow.who in ("run_worker", "all", "harbor_hung"):
            check_nothing_from_the_dead(host.ledger, blow)
    if any(blow.who == "harbor_stopped" for blow in blows):
        assert any("stalled" in (job.note or "") for job in host.ledger.jobs())
    check_nothing_left(host)


def check_once_each(host: Host) -> None:
    counts = host.ledger.check_balance()
    assert (counts.registered, counts.done) == (2, 2)
    for row in host.ledger.rows():
        (accepted,) = [attempt for attempt in host.ledger.attempts(row.key) if attempt.accepted]
        data = (host.installation.root.path / str(accepted.trajectory_path)).read_bytes()
        assert hashlib.sha256(data).hexdigest() == accepted.trajectory_sha256
    with open_instance(host.installation.root) as instance:
        shown = instance.event_log_storage.get_materialized_partitions(TRAJECTORIES)
    assert shown == {row.key.partition for row in host.ledger.rows()}
    file_left_open(host.installation.root, host.ledger, Redactor({}))  # as the next tick does
    archived = Counter(run.job for run in read_runs(host.installation.root).rows)
    for job in host.ledger.jobs():
        assert archived[job.name] == 1 or job.started_at is None
        files = host.installation.root.job(job.name)
        recorded = [(attempt.trial_name, attempt.accepted) for _, attempt in host.ledger.job_attempts(job.name)]
        if recorded:
            found = [(str(entry.trial_name), entry.accepted) for entry in load_trials(files.trials).trials]
            assert Counter(found) == Counter(recorded)


def check_costs(host: Host, blows: list[Blow]) -> None:
    """No attempt more than blows could spoil, none of them held against the agent, no pause without an outage."""
    n_outside = sum(blow.who in COUNTED_AS_OUTSIDE for blow in blows)
    for row in host.ledger.rows():
        attempts = host.ledger.attempts(row.key)
        assert len(attempts) <= 1 + len(blows)
        assert row.n_counted == 0
        assert row.n_infra + row.n_capture <= n_outside
    assert len(host.pauses) <= sum(blow.who in SEEN_BY_A_DRIVER for blow in blows)
    if any(blow.who.startswith("harbor_") for blow in blows):  # which the agents are not to blame for
        causes = {attempt.cause for row in host.ledger.rows() for attempt in host.ledger.attempts(row.key)}
        assert causes <= {None, "stalled", "harness"}


def check_nothing_from_the_dead(ledger: Ledger, blow: Blow) -> None:
    """What was recorded after its driver's death has a younger fence than that driver's."""
    for name, fence in blow.fences.items():
        attempts = [attempt for _, attempt in ledger.job_attempts(name)]
        assert all(attempt.fence > fence for attempt in attempts if attempt.recorded_at > blow.at)
        assert [attempt.fence for attempt in attempts] == sorted(attempt.fence for attempt in attempts)


def check_nothing_left(host: Host) -> None:
    wait_until(lambda: host.installation.processes() == [], limit_s=60)
    root = host.installation.root
    assert live_holders(root.locks) == set()
    assert host.ledger.slots_in_use(this_host()) == 0
    assert list(root.sandboxes.glob("*/*")) == []
