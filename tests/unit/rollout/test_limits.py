"""How long a job may take follows from its tasks' own limits, and no order of its trials takes longer."""

import heapq
import random
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from trajgen_assets.core.config.inputs import HarborJob
from trajgen_assets.core.intake.task import ASSUMED_AGENT_TIMEOUT_S, TaskFolder
from trajgen_assets.core.rollout.harbor_harness import HarborHarness
from trajgen_assets.core.rollout.holding import CLAIM_TTL_S
from trajgen_assets.core.rollout.interrupts import CLOSING_LIMIT_S
from trajgen_assets.core.rollout.limits import longest_job_s

AROUND_S = CLAIM_TTL_S + CLOSING_LIMIT_S


def task(agent_s: float | None, verifier_s: float = 100.0, build_s: float = 200.0) -> TaskFolder:
    limits = {"agent_timeout_s": agent_s, "verifier_timeout_s": verifier_s, "build_timeout_s": build_s}
    return TaskFolder("t", Path("t"), **limits)  # type: ignore[arg-type]


def harbor(multiplier: float = 1.0, margin_s: int = 600) -> HarborHarness:
    return HarborHarness(HarborJob(timeout_multiplier=multiplier, stall_margin_s=margin_s))


def test_one_trial_may_use_all_its_limits_one_after_the_other_with_a_margin() -> None:
    assert longest_job_s([task(300)], n_at_once=1, harness=harbor()) == AROUND_S + 2 * (600 + 600)


def test_limits_are_multiplied_as_harbor_does_and_never_shortened() -> None:
    once = longest_job_s([task(300)], n_at_once=1, harness=harbor())
    assert longest_job_s([task(300)], n_at_once=1, harness=harbor(3.0)) == once + 2 * 2 * 600
    assert longest_job_s([task(300)], n_at_once=1, harness=harbor(0.5)) == once
    assert harbor(2.0).silence_s([task(300), task(400)]) == 2 * 400 + 600


def test_a_task_without_a_limit_for_its_agent_gets_the_assumed_one() -> None:
    limited = longest_job_s([task(ASSUMED_AGENT_TIMEOUT_S)], n_at_once=1, harness=harbor())
    assert longest_job_s([task(None)], n_at_once=1, harness=harbor()) == limited


@given(st.lists(st.floats(1, 10_000), min_size=1, max_size=40), st.integers(1, 8), st.randoms())
def test_no_order_of_trials_takes_longer(agents_s: list[float], n_at_once: int, order: random.Random) -> None:
    folders = [task(agent_s) for agent_s in agents_s]
    order.shuffle(folders)
    free_at = [0.0] * min(n_at_once, len(folders))
    for folder in folders:
        began = heapq.heappop(free_at)
        heapq.heappush(free_at, began + (folder.agent_timeout_s or 0) + 300 + 600)
    assert AROUND_S + max(free_at) <= longest_job_s(folders, n_at_once=n_at_once, harness=harbor()) + 1e-6


def test_a_job_is_never_called_too_long_before_it_is_called_stalled() -> None:
    for agent_s in (1.0, 300.0, None):
        assert longest_job_s([task(agent_s)], n_at_once=4, harness=harbor()) > harbor().silence_s([task(agent_s)])
