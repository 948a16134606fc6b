"""A job that goes on without its proxy, or without any progress, is ended and says why."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.ledger.twins import DATASET, register, start
from trajgen_assets.core.capture.proxy import RunningProxy
from trajgen_assets.core.errors import HarnessError, ProxyError
from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.ledger.models import RetryPolicy
from trajgen_assets.core.paths import Root
from trajgen_assets.core.process import ProcessId
from trajgen_assets.core.rollout.causes import Cause
from trajgen_assets.core.rollout.events import EventFeed
from trajgen_assets.core.rollout.follow import RENEW_EVERY_S, follow
from trajgen_assets.core.rollout.harbor import HarborRun
from trajgen_assets.core.rollout.record import JobRecord, SilentListener
from trajgen_assets.core.rollout.trial_slots import TrialSlots, this_host
from trajgen_assets.core.rollout.trials import AgentRecord, TrialsFile


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


@pytest.fixture
def record(root: Root, ledger: Ledger) -> JobRecord:
    register(ledger, "t")
    header = TrialsFile(
        job="j", dataset=DATASET, campaign="main", scaffold="terminus2", agent=AgentRecord(name="a"), model="openai/m"
    )
    return JobRecord(header, root.job("j"), ledger, start(ledger, "j"), RetryPolicy(), {}, SilentListener())


def run_of(child: subprocess.Popen[bytes], folder: Path) -> HarborRun:
    return HarborRun(child, EventFeed(folder / "events.jsonl"), folder / "harbor.log")


def proxy_of(process: ProcessId, folder: Path) -> RunningProxy:
    return RunningProxy("j", "127.0.0.1", 1, "m", folder, process, "sk-x")


def lent(record: JobRecord, n: int = 1) -> TrialSlots:
    record.ledger.acquire_slots(this_host(), "j", want=n, max_trials=4)
    return TrialSlots(record.ledger, "j", 4, n)


def test_a_job_whose_proxy_died_is_ended(child: subprocess.Popen[bytes], record: JobRecord, tmp_path: Path) -> None:
    gone = proxy_of(ProcessId(child.pid, 1.0), tmp_path)
    with pytest.raises(ProxyError, match="died while trials were running"):
        follow(run_of(child, tmp_path), gone, record, lent(record), stall_s=60)


def test_a_job_without_any_event_for_too_long_is_stalled_and_so_are_its_trials(
    child: subprocess.Popen[bytes], record: JobRecord, tmp_path: Path
) -> None:
    alive = proxy_of(ProcessId.of(child.pid), tmp_path)
    with pytest.raises(HarnessError, match="stalled"):
        follow(run_of(child, tmp_path), alive, record, lent(record), stall_s=0.1)
    assert record.cancelled_as is Cause.STALLED


def test_a_job_whose_calls_are_no_longer_recorded_is_ended_and_its_trials_are_free_again(
    child: subprocess.Popen[bytes], record: JobRecord, tmp_path: Path
) -> None:
    (tmp_path / "broken").write_text(json.dumps({"trial": "t__1", "lost": "logger"}) + "\n")
    alive = proxy_of(ProcessId.of(child.pid), tmp_path)
    with pytest.raises(ProxyError, match=r"no longer recorded.*the trajectory logger is no longer registered"):
        follow(run_of(child, tmp_path), alive, record, lent(record), stall_s=60)
    assert record.cancelled_as is Cause.CAPTURE


def test_harbor_s_end_is_the_end_whatever_its_exit_code(
    child: subprocess.Popen[bytes], record: JobRecord, tmp_path: Path
) -> None:
    alive = proxy_of(ProcessId.of(child.pid), tmp_path)
    child.kill()
    child.wait()
    follow(run_of(child, tmp_path), alive, record, lent(record), stall_s=60)
    assert record.entries == {}


def test_the_lease_outlasts_the_driver_s_own_patience_also_from_an_event_that_renews_nothing(
    child: subprocess.Popen[bytes], record: JobRecord, tmp_path: Path
) -> None:
    child.kill()
    child.wait()
    alive = proxy_of(ProcessId.of(os.getpid()), tmp_path)
    follow(run_of(child, tmp_path), alive, record, lent(record), stall_s=60, margin_s=5)
    left_s = (record.lease.expires_at - record.ledger.now()).total_seconds()
    assert left_s >= 60 + 5 + RENEW_EVERY_S


@pytest.mark.parametrize("n_ended", [0, 1])
def test_a_harbor_that_was_killed_under_its_trials_is_no_end_of_the_job(
    child: subprocess.Popen[bytes], record: JobRecord, tmp_path: Path, n_ended: int
) -> None:
    events = [("trial_started", "t__1"), ("trial_started", "u__1"), *[("trial_ended", "t__1")] * n_ended]
    lines = (json.dumps({"event": name, "trial": trial}) + "\n" for name, trial in events)
    (tmp_path / "events.jsonl").write_text("".join(lines))
    child.kill()
    child.wait()
    alive = proxy_of(ProcessId.of(os.getpid()), tmp_path)
    with pytest.raises(HarnessError, match=f"while {('2 trials were', '1 trial was')[n_ended]} running.*exit code -9"):
        follow(run_of(child, tmp_path), alive, record, lent(record, 2), stall_s=60)


def test_a_trial_that_ends_with_no_task_left_gives_its_slot_back(
    child: subprocess.Popen[bytes], record: JobRecord, tmp_path: Path
) -> None:
    feed = tmp_path / "events.jsonl"
    names = ("trial_started", "trial_cancelled", "trial_ended")  # of one trial: it counts once
    feed.write_text("".join(json.dumps({"event": name, "trial": "t__1"}) + "\n" for name in names))
    record.tasks = dict.fromkeys(("t", "u", "v"))  # type: ignore[assignment]  none of them is looked at
    slots = lent(record, 3)
    child.kill()
    child.wait()
    follow(
        run_of(child, tmp_path),
        proxy_of(ProcessId.of(os.getpid()), tmp_path),
        record,
        slots,
        stall_s=60,
    )
    assert (slots.n, record.ledger.slots_in_use(this_host())) == (2, 2)
