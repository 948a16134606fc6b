"""A job looks for what people ask of it: to stop ends it, to drain begins no more trials, and what it left is said."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.unit.ledger.twins import DATASET, register, start
from trajgen_assets.core.capture.proxy import RunningProxy
from trajgen_assets.core.errors import EndpointError, StoppedError
from trajgen_assets.core.ledger import BreakerState, JobState, Ledger, RetryPolicy
from trajgen_assets.core.paths import Root
from trajgen_assets.core.process import ProcessId
from trajgen_assets.core.rollout.events import EventFeed
from trajgen_assets.core.rollout.follow import follow
from trajgen_assets.core.rollout.harbor import HarborRun
from trajgen_assets.core.rollout.record import JobRecord, SilentListener
from trajgen_assets.core.rollout.stopping import (
    StopLooks,
    end_if_asked,
    end_if_drained,
    end_if_over_budget,
    refuse_if_used_up,
)
from trajgen_assets.core.rollout.trial_slots import TrialSlots, this_host
from trajgen_assets.core.rollout.trials import AgentRecord, TrialEntry, TrialsFile


@dataclass
class Told(SilentListener):
    phases: list[str] = field(default_factory=list)

    def phase(self, text: str) -> None:
        self.phases.append(text)


@pytest.fixture
def record(root: Root, ledger: Ledger) -> JobRecord:
    register(ledger, "t", "u")
    header = TrialsFile(
        job="j", dataset=DATASET, campaign="main", scaffold="terminus2", agent=AgentRecord(name="a"), model="openai/m"
    )
    files = root.job("j")
    files.proxy.mkdir(parents=True)
    tasks = dict.fromkeys(("t", "u"))
    return JobRecord(header, files, ledger, start(ledger, "j"), RetryPolicy(), tasks, Told())  # type: ignore[arg-type]


@pytest.fixture
def harbor(tmp_path: Path) -> Iterator[HarborRun]:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield HarborRun(child, EventFeed(tmp_path / "events.jsonl"), tmp_path / "harbor.log")
    child.kill()
    child.communicate()


def followed(harbor: HarborRun, record: JobRecord) -> None:
    proxy = RunningProxy("j", "127.0.0.1", 1, "m", harbor.log_path.parent, ProcessId.of(harbor.child.pid), "sk-x")
    record.ledger.acquire_slots(this_host(), "j", want=1, max_trials=4)
    follow(harbor, proxy, record, TrialSlots(record.ledger, "j", 4, 1), stall_s=60)


def test_a_job_that_nobody_asks_anything_of_goes_on(record: JobRecord) -> None:
    StopLooks(record).look()
    end_if_asked(record.ledger, "j")
    end_if_drained(record)
    assert not record.files.stop.exists()


def test_a_stop_that_is_asked_for_while_trials_run_ends_the_job(harbor: HarborRun, record: JobRecord) -> None:
    asking = threading.Timer(0.5, lambda: record.ledger.ask_to_stop("j", "ann", drain=False))
    asking.start()
    with pytest.raises(StoppedError, match=r"stopped, as ann asked at \d\d:\d\d:\d\d UTC"):
        followed(harbor, record)
    asking.join()


def test_a_drain_lets_the_running_trials_end_and_begins_no_more(harbor: HarborRun, record: JobRecord) -> None:
    record.ledger.ask_to_stop("j", "ann", drain=True)

    def ends() -> None:
        while not record.files.stop.exists():
            time.sleep(0.05)
        harbor.child.kill()

    ending = threading.Thread(target=ends, daemon=True)
    ending.start()
    followed(harbor, record)
    ending.join()
    assert isinstance(record.listener, Told)
    assert record.listener.phases == ["starting no more trials, as ann asked"]


def test_a_first_reply_that_leaves_nothing_of_the_job_s_budget_refuses_the_job(record: JobRecord) -> None:
    refuse_if_used_up(record.files, where="http://upstream.test")
    note = {"text": "what this job has spent is not known: a reply came without its count of tokens"}
    record.files.budget_stop.write_text(json.dumps({"scope": "day", **note}))
    refuse_if_used_up(record.files, where="http://upstream.test")  # no job begins before the next day anyway
    record.files.budget_stop.write_text(json.dumps({"scope": "job", **note}))
    with pytest.raises(EndpointError, match="a reply came without its count of tokens"):
        refuse_if_used_up(record.files, where="http://upstream.test")


@pytest.mark.parametrize("drain", [True, False])
def test_before_its_first_trial_a_job_ends_however_it_is_asked(record: JobRecord, drain: bool) -> None:
    record.ledger.ask_to_stop("j", "ann", drain=drain)
    with pytest.raises(StoppedError, match="before its first trial"):
        end_if_asked(record.ledger, "j")


def entry(task_id: str, cause: str) -> TrialEntry:
    fields = {"task_id": task_id, "task_key": f"d/{task_id}", "trial_name": f"{task_id}__1", "attempt": 1}
    fields |= {"accepted": False, "status": "pending", "cause": cause}
    fields |= {"task": {"digest": "d", "instruction": "i", "metadata": {}}}
    return TrialEntry.model_validate_json(json.dumps(fields))


def test_a_drained_job_that_left_nothing_has_finished_and_one_that_left_tasks_says_how_many(
    record: JobRecord,
) -> None:
    record.drained_for = record.ledger.ask_to_stop("j", "ann", drain=True)
    record.entries = {"t__1": entry("t", "agent_refusal"), "u__1": entry("u", "sandbox")}
    end_if_drained(record)
    record.entries["u__1"] = entry("u", "cancelled")
    with pytest.raises(StoppedError, match="1 of its 2 tasks was not begun"):
        end_if_drained(record)


@pytest.mark.parametrize(
    ("scope", "accepted", "state"),
    [
        ("job", False, BreakerState.OPEN),
        ("job", True, BreakerState.CLOSED),
        ("day", False, BreakerState.CLOSED),  # no job begins before the next day anyway
    ],
)
def test_a_job_that_got_nothing_for_its_whole_budget_is_not_followed_by_another_at_once(
    record: JobRecord, scope: str, accepted: bool, state: BreakerState
) -> None:
    record.files.budget_stop.write_text(json.dumps({"scope": scope, "text": "used up"}))
    done = entry("t", "agent_budget").model_copy(update={"accepted": accepted})
    record.entries = {"t__1": done, "u__1": entry("u", "budget")}
    with pytest.raises(StoppedError, match="used up"):
        end_if_over_budget(record)
    assert record.ledger.breaker_state(DATASET).state is state


def test_what_a_person_asked_of_a_job_stays_on_record_when_it_is_over(record: JobRecord) -> None:
    record.ledger.ask_to_stop("j", "ann", drain=False)
    record.ledger.release(record.lease, JobState.INTERRUPTED)
    request = record.ledger.stop_request("j")
    assert request is not None
    assert request.asked_by == "ann"
