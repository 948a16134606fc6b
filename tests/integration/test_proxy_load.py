"""The real LiteLLM proxy under load: many calls at once, each on record in its trial, each try as it ended."""

import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.installed import LITELLM_ENV
from tests.integration.load_clients import Call, Clients, Seen
from tests.integration.load_twin import Ending, serving_load_twin
from tests.integration.model_calls import JOB, PATHS, RESPONSES, upstream_at
from tests.waiting import wait_until
from trajgen_assets.core.capture.evidence import trajectory_file
from trajgen_assets.core.capture.proxy import RunningProxy, running_proxy
from trajgen_assets.core.capture.records import iter_records
from trajgen_assets.core.capture.verdict import Capture, judge
from trajgen_assets.core.ledger.models import CaptureVerdict

N_CLIENTS, SEED = 64, 20
TRIALS = tuple(f"task-{number}__load" for number in range(8))
MARKER = re.compile(r"\bcall-\d{5}\b")

# How an upstream ends the tries of a call, and how many calls in a hundred meet with it.
ANSWERED = {(Ending.ANSWER,): 64, (Ending.SLOW,): 2}
RETRIED = [
    (Ending.FAIL, Ending.ANSWER),
    (Ending.RATE_LIMIT, Ending.ANSWER),
    (Ending.RATE_LIMIT, Ending.FAIL, Ending.ANSWER),
    (Ending.CUT, Ending.ANSWER),  # a stream is tried again as long as its client saw nothing of it
]
FAILED = [
    (Ending.RATE_LIMIT,),
    (Ending.FAIL,),
    (Ending.CUT,),
    (Ending.FAIL, Ending.RATE_LIMIT),
    (Ending.RATE_LIMIT, Ending.FAIL),
    (Ending.FAIL, Ending.CUT),
]
LEFT = [(Ending.HANG,), (Ending.HANG_MIDWAY,), (Ending.FAIL, Ending.HANG), (Ending.FAIL, Ending.HANG_MIDWAY)]
MIX = ANSWERED | dict.fromkeys(RETRIED, 2) | dict.fromkeys(FAILED, 2) | dict.fromkeys(LEFT, 4)


@dataclass(frozen=True)
class Loaded:
    """What is known after the load.

    Attributes:
        seen: what each client saw.
        n_tries: how often the upstream was asked for each call, by its marker.
        records: each trial's records, in order.
        captures: each trial's verdict.
    """

    seen: list[Seen]
    n_tries: Counter[str]
    records: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    captures: dict[str, Capture] = field(default_factory=dict)

    def of(self, trial: str) -> list[Seen]:
        """What the clients of one trial saw."""
        return [each for each in self.seen if each.call.trial == trial]

    def tries(self) -> dict[str, list[dict[str, Any]]]:
        """The records of each call, in order, by the marker in its request."""
        found: dict[str, list[dict[str, Any]]] = {}
        for record in (record for records in self.records.values() for record in records):
            (marker,) = MARKER.findall(json.dumps(record["request_body"]))
            found.setdefault(marker, []).append(record)
        return found


@pytest.fixture(scope="module", params=[300, pytest.param(2000, marks=pytest.mark.faults)])
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    folder = tmp_path_factory.mktemp("load") / JOB
    with (
        serving_load_twin() as twin,
        running_proxy(env=LITELLM_ENV, folder=folder, job=JOB, upstream=upstream_at(twin.port)) as proxy,
    ):
        seen = Clients(proxy, twin).make(calls_of(request.param), n_at_once=N_CLIENTS)
        wait_until(lambda: not any(judged(proxy, trial).aborted for trial in TRIALS), limit_s=20)
        loaded = Loaded(seen, twin.n_tries)
        for trial in TRIALS:
            lines = list(iter_records(trajectory_file(proxy.folder, trial)))
            loaded.records[trial] = [line.value for line in lines if line.value is not None]
            loaded.captures[trial] = judged(proxy, trial)
        yield loaded


def calls_of(number: int) -> list[Call]:
    """So many calls of all trials, dialects and kinds, the same ones each time."""
    dice = random.Random(SEED)
    chosen = dice.choices([*MIX], [*MIX.values()], k=number)
    return [call_of(dice, number, endings) for number, endings in enumerate(chosen)]


def call_of(dice: random.Random, number: int, endings: tuple[Ending, ...]) -> Call:
    stream = endings[-1] is Ending.HANG_MIDWAY or dice.random() < 0.75
    leaves_after = {Ending.HANG: 0, Ending.HANG_MIDWAY: dice.choice((1, 2))}.get(endings[-1])
    return Call(f"call-{number:05}", dice.choice(TRIALS), dice.choice(PATHS), stream, endings, leaves_after)


def judged(proxy: RunningProxy, trial: str) -> Capture:
    return judge(proxy.folder, trial, explained=None)


def ends_of(call: Call, n_tries: int) -> list[tuple[int, bool, bool, int | None]]:
    """What must be on record of each try: its ordinal, success, whether the client left, the status."""
    endings = [call.endings[min(number, len(call.endings) - 1)] for number in range(n_tries)]
    return [(number, *_end_of(ending, stream=call.stream)) for number, ending in enumerate(endings, start=1)]


def _end_of(ending: Ending, *, stream: bool) -> tuple[bool, bool, int | None]:
    if ending in (Ending.ANSWER, Ending.SLOW):
        return True, False, None
    if ending in (Ending.HANG, Ending.HANG_MIDWAY):
        return False, True, 499
    # A plain reply that breaks off is a failed connection to LiteLLM, while a stream has had its status by then.
    statuses = {Ending.RATE_LIMIT: 429, Ending.FAIL: 500, Ending.CUT: None if stream else 500}
    return False, False, statuses[ending]


def test_each_call_of_each_client_is_on_record_in_its_trial_under_one_id(loaded: Loaded) -> None:
    trials = {each.call.marker: each.call.trial for each in loaded.seen}
    tries = loaded.tries()
    assert set(tries) == set(trials)
    assert {marker: {record["trajectory_route"] for record in records} for marker, records in tries.items()} == {
        marker: {f"{JOB}/{trial}"} for marker, trial in trials.items()
    }
    ids = [{record["call_id"] for record in records} for records in tries.values()]
    assert {len(each) for each in ids} == {1}
    assert len(set.union(*ids)) == len(ids)


def test_each_try_is_on_record_in_order_as_it_ended(loaded: Loaded) -> None:
    tries = loaded.tries()
    found = {
        marker: [
            (each["attempt"], each["success"], each["client_disconnected"], each.get("failure", {}).get("status_code"))
            for each in records
        ]
        for marker, records in tries.items()
    }
    assert found == {each.call.marker: ends_of(each.call, loaded.n_tries[each.call.marker]) for each in loaded.seen}


def test_a_reply_on_record_is_the_one_to_this_call_and_nothing_else(loaded: Loaded) -> None:
    for marker, records in loaded.tries().items():
        assert set(MARKER.findall(json.dumps(records))) == {marker}
        for record in records:
            contents = [choice["message"].get("content") for choice in record["response_body"].get("choices", [])]
            assert not record["success"] or str(contents[0]).startswith(f"reply to {marker}")


def test_a_client_got_a_whole_reply_exactly_where_a_success_is_on_record(loaded: Loaded) -> None:
    tries = loaded.tries()
    assert {each.call.marker: each.is_whole for each in loaded.seen} == {
        each.call.marker: tries[each.call.marker][-1]["success"] for each in loaded.seen
    }


def test_no_client_of_a_whole_reply_was_told_a_part_of_it_twice(loaded: Loaded) -> None:
    told = [
        each for each in loaded.seen if each.is_whole and each.call.path != RESPONSES
    ]  # which repeats all at its end
    assert {each.text.count(f"reply to {each.call.marker}") for each in told} == {1}


def test_the_counts_of_each_trial_are_those_of_its_clients(loaded: Loaded) -> None:
    for trial, capture in loaded.captures.items():
        seen = loaded.of(trial)
        n_ok = sum(each.is_whole for each in seen)
        n_left = sum(each.call.leaves_after is not None for each in seen)
        assert (capture.admitted, capture.begun, capture.ended) == (len(seen), len(seen), len(seen))
        assert (capture.ok, capture.disconnected, capture.failed) == (n_ok, n_left, len(seen) - n_ok - n_left)
        assert (capture.aborted, capture.n_torn_lines) == (0, 0)
        assert capture.verdict is (CaptureVerdict.CUT if n_left else CaptureVerdict.COMPLETE)
