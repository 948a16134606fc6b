"""Budgets at the real LiteLLM proxy: what is refused, how far a limit is overshot, and what a second start knows."""

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.installed import LITELLM_ENV
from tests.integration.upstream_twin import USAGE, serving_upstream
from tests.integration.upstream_twin import Upstream as UpstreamTwin
from trajgen_assets.core.capture.litellm_config import Endpoint, Upstream
from trajgen_assets.core.capture.proxy import RunningProxy, running_proxy
from trajgen_assets.core.capture.verdict import judge
from trajgen_assets.core.ledger.models import CaptureVerdict
from trajgen_assets.core.paths import JobPaths
from trajgen_assets.core.rollout.budget_notes import refusal_of_job, refusal_of_trial

JOB = "job-1"
TOKENS = USAGE["total_tokens"]  # of each call
CHAT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"
NOBODY = "http://127.0.0.1:9/v1"


@pytest.fixture(scope="module")
def twin() -> Iterator[UpstreamTwin]:
    with serving_upstream() as upstream:
        yield upstream


@contextmanager
def _running(twin: UpstreamTwin, folder: Path, **limits: dict[str, float]) -> Iterator[RunningProxy]:
    """A proxy with these limits, before one endpoint that answers and one where nobody does."""
    url = f"http://127.0.0.1:{twin.port}/v1"
    upstream = Upstream(
        "openai/m1",
        endpoints=[Endpoint("dead", NOBODY, "key-of-nobody"), Endpoint("live", url, "key-of-the-twin")],
        input_cost_per_token=1e-3,
        output_cost_per_token=2e-3,
        cooldown_s=1.0,
        budget={"limits": limits, "day_folder": str(folder.parent)},
    )
    with running_proxy(env=LITELLM_ENV, folder=folder, job=JOB, upstream=upstream) as running:
        yield running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("litellm") / JOB


@pytest.fixture(scope="module")
def proxy(twin: UpstreamTwin, folder: Path) -> Iterator[RunningProxy]:
    limits = {"trial": {"tokens": 5 * TOKENS}, "job": {"tokens": 60 * TOKENS}}
    with _running(twin, folder, **limits) as running:
        yield running


def _ask(proxy: RunningProxy, trial: str, *, path: str = CHAT, **more: Any) -> httpx.Response:
    body: dict[str, Any] = {"model": "m1", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 50, **more}
    if path == RESPONSES:
        body = {"model": "m1", "input": "hi", **more}
    headers = {"Authorization": f"Bearer {proxy.trial_key(trial)}"}
    return httpx.post(f"{proxy.base_url}{path}", json=body, headers=headers, timeout=60, trust_env=False)


def _files(proxy: RunningProxy) -> JobPaths:
    return JobPaths(proxy.folder, proxy.folder, proxy.folder)


@pytest.mark.parametrize("path", [CHAT, MESSAGES, RESPONSES])
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_one_call_after_another_stops_exactly_at_the_limit_of_the_trial(
    proxy: RunningProxy, path: str, stream: bool
) -> None:
    trial = f"one-by-one{path.replace('/', '-')}-{stream}__aB3dE5f"
    replies = [_ask(proxy, trial, path=path, stream=stream) for _ in range(7)]
    refused = 403 if path == MESSAGES else 401
    assert [reply.status_code for reply in replies] == [200] * 5 + [refused] * 2
    assert "the trial's budget of 80 tokens is used up" in replies[-1].text
    refusal = refusal_of_trial(_files(proxy), trial)
    assert refusal is not None
    assert refusal.is_of_trial
    capture = judge(proxy.folder, trial, explained=refusal.text, cut_by=refusal.text)
    assert (capture.verdict, capture.ok, capture.admitted) == (CaptureVerdict.CUT, 5, 5)
    assert refusal_of_job(_files(proxy)) is None


def test_calls_at_once_overshoot_a_limit_by_those_in_flight_and_no_more(proxy: RunningProxy) -> None:
    n_at_once, trial = 4, "at-once__aB3dE5f"
    with ThreadPoolExecutor(n_at_once) as pool:
        statuses = Counter(reply.status_code for reply in pool.map(lambda _: _ask(proxy, trial), range(30)))
    assert set(statuses) == {200, 401}
    assert 5 <= statuses[200] <= 5 + n_at_once - 1


def test_an_endpoint_that_nobody_is_at_costs_no_call(proxy: RunningProxy) -> None:
    replies = [_ask(proxy, f"spread-{n}__aB3dE5f") for n in range(8)]
    assert {reply.status_code for reply in replies} == {200}


def test_a_job_that_used_up_its_budget_answers_nobody_and_begins_no_trial(proxy: RunningProxy, folder: Path) -> None:
    _use_up(proxy)
    spent = [json.loads(line) for line in (folder / "spend.jsonl").read_text().splitlines()]
    assert sum(each["tokens"] for each in spent) == 60 * TOKENS
    assert sum(each["cost_usd"] for each in spent) == pytest.approx(60 * (11 * 1e-3 + 5 * 2e-3))
    refusal = refusal_of_job(_files(proxy))
    assert refusal is not None
    assert refusal.text == "the job's budget of 960 tokens is used up"
    assert _files(proxy).stop.exists()
    assert _ask(proxy, "another__aB3dE5f").status_code == 401
    [day] = folder.parent.glob("2*.jsonl")
    assert len(day.read_text().splitlines()) == len(spent)


@pytest.mark.faults
def test_a_proxy_that_is_started_again_knows_what_was_spent(
    proxy: RunningProxy, twin: UpstreamTwin, folder: Path
) -> None:
    _use_up(proxy)
    n_before = len(twin.requests)
    with _running(twin, folder, job={"tokens": 60 * TOKENS}) as again:
        assert _ask(again, "another__zzzzzzz").status_code == 401
    assert len(twin.requests) == n_before


def _use_up(proxy: RunningProxy) -> None:
    for number in range(60):
        if _ask(proxy, f"many-{number}__aB3dE5f").status_code == 401:
            return
