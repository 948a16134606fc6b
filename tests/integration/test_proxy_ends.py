"""A proxy that ends with forty calls in flight: each is on record, or counted as one that did not end.

`trial-slow` holds streams and plain replies of two seconds, `trial-hang` and `trial-hang-midway` calls that the
upstream never ends, and `trial-busy` short calls one after the other, some of which are just being answered.
"""

import itertools
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from tests.installed import LITELLM_ENV
from tests.integration.load_clients import Call, Clients, Seen
from tests.integration.load_twin import Ending, serving_load_twin
from tests.integration.model_calls import JOB, PATHS, upstream_at
from tests.waiting import wait_until
from trajgen_assets.core.capture.proxy import RunningProxy, running_proxy
from trajgen_assets.core.capture.verdict import judge
from trajgen_assets.core.ledger.models import CaptureVerdict

N_BUSY = 8
SLOW, HANG, MIDWAY, BUSY = TRIALS = ("trial-slow", "trial-hang", "trial-hang-midway", "trial-busy")
HELD = {SLOW: Ending.SLOW, HANG: Ending.HANG, MIDWAY: Ending.HANG_MIDWAY}
N_HELD = {SLOW: 20, HANG: 10, MIDWAY: 10}


@dataclass(frozen=True)
class Ended:
    """A proxy's folder after its end, and what the clients saw of it."""

    folder: Path
    seen: list[Seen]

    def n_whole(self, trial: str) -> int:
        return sum(each.is_whole for each in self.seen if each.call.trial == trial)


def held_calls() -> list[Call]:
    trials = [trial for trial, number in N_HELD.items() for _ in range(number)]
    return [
        Call(f"call-{n:05}", trial, PATHS[n % 3], n % 4 > 0 or trial == MIDWAY, (HELD[trial],))
        for n, trial in enumerate(trials)
    ]


def busy_calls(over: Event) -> Iterator[Call]:
    for n in itertools.takewhile(lambda _: not over.is_set(), itertools.count(90000)):
        yield Call(f"call-{n:05}", BUSY, PATHS[n % 3], n % 2 == 0, (Ending.ANSWER,))


def ended_by(folder: Path, *signals: signal.Signals) -> Ended:
    """Send `signals` to a proxy that has all of the calls in flight; before the last of several, the slow ones end."""
    with (
        serving_load_twin() as twin,
        ThreadPoolExecutor(1) as pool,
        running_proxy(env=LITELLM_ENV, folder=folder, job=JOB, upstream=upstream_at(twin.port)) as proxy,
    ):
        over, held = Event(), held_calls()
        calls = itertools.chain(held, busy_calls(over))
        making = pool.submit(Clients(proxy, twin).make, calls, n_at_once=len(held) + N_BUSY)
        try:
            wait_until(
                lambda: all(twin.n_tries[call.marker] for call in held) and len(twin.n_tries) > len(held) + N_BUSY
            )
        finally:
            over.set()
        for number, each in enumerate(signals):
            wait_until(lambda: not number or n_slow_open(proxy) == 0)  # noqa: B023  called at once
            os.kill(proxy.process.pid, each)
        return Ended(folder, making.result(timeout=60))


def n_slow_open(proxy: RunningProxy) -> int:
    return judge(proxy.folder, SLOW, explained=None).aborted


def assert_accounted_for(ended: Ended) -> None:
    """Each call is on record or did not end, a client with a whole reply is no exception, and the verdict says so."""
    for trial in TRIALS:
        capture = judge(ended.folder, trial, explained=None)
        explained = judge(ended.folder, trial, explained="the proxy was stopped").verdict
        n_sent = sum(each.call.trial == trial for each in ended.seen)
        assert ended.n_whole(trial) <= capture.admitted <= n_sent
        assert capture.ended + capture.aborted == capture.admitted
        assert ended.n_whole(trial) - capture.ok <= capture.aborted
        assert (capture.failed, capture.disconnected, capture.n_torn_lines) == (0, 0, 0)
        whole = (CaptureVerdict.COMPLETE, CaptureVerdict.COMPLETE)
        assert (capture.verdict, explained) == ((CaptureVerdict.GAP, CaptureVerdict.CUT) if capture.aborted else whole)


def test_a_proxy_that_is_told_to_end_ends_what_it_can_and_the_rest_is_aborted(tmp_path: Path) -> None:
    # After its grace period the platform kills, as it does here once only the hung calls are left.
    ended = ended_by(tmp_path / JOB, signal.SIGTERM, signal.SIGKILL)
    assert_accounted_for(ended)
    captures = {trial: judge(ended.folder, trial, explained=None) for trial in TRIALS}
    assert {trial: (captures[trial].begun, captures[trial].aborted) for trial in HELD} == {
        SLOW: (20, 0),
        HANG: (10, 10),
        MIDWAY: (10, 10),
    }
    for trial in (SLOW, BUSY):
        assert captures[trial].verdict is CaptureVerdict.COMPLETE
        assert captures[trial].ok == ended.n_whole(trial) == captures[trial].admitted


def test_a_proxy_that_is_killed_leaves_no_call_unaccounted_for(tmp_path: Path) -> None:
    ended = ended_by(tmp_path / JOB, signal.SIGKILL)
    assert_accounted_for(ended)
    captures = {trial: judge(ended.folder, trial, explained=None) for trial in TRIALS}
    assert {trial: captures[trial].aborted for trial in HELD} == N_HELD
    assert captures[BUSY].ok > 0
