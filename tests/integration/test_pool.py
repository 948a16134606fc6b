"""Several upstream endpoints behind the real LiteLLM proxy: where calls go, and what of it is on record."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.installed import LITELLM_ENV
from tests.integration.upstream_twin import Upstream as UpstreamTwin
from tests.integration.upstream_twin import serving_upstream
from tests.waiting import wait_until
from trajgen_assets.core.capture.litellm_config import Endpoint, Upstream
from trajgen_assets.core.capture.proxy import SELF_TEST_TRIAL, RunningProxy, running_proxy
from trajgen_assets.core.capture.verdict import judge
from trajgen_assets.core.errors import EndpointError
from trajgen_assets.core.ledger.models import CaptureVerdict
from trajgen_assets.core.rollout.endpoint import check_one_answers
from trajgen_assets.guest.litellm.upstream_pool import Endpoint as PoolEndpoint
from trajgen_assets.guest.litellm.upstream_pool import by_preference

JOB = "job-1"
COOLDOWN_S = 0.7
TIMEOUT_S = 2.0
CHAT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"
PLACES = {"one": "http://one", "two": "http://two", "three": "http://three"}
WEIGHTS = {"one": 1.0, "two": 1.0, "three": 2.0, "narrow": 0.001}  # one task in thousands goes to the narrow one
LIMITS = {"narrow": 1}


@pytest.fixture(scope="module")
def twins() -> Iterator[dict[str, UpstreamTwin]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(serving_upstream()) for name in WEIGHTS}


@pytest.fixture(scope="module")
def proxy(twins: dict[str, UpstreamTwin], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningProxy]:
    endpoints = [
        Endpoint(name, _url(twin), _key(name), None, WEIGHTS[name], LIMITS.get(name), TIMEOUT_S)
        for name, twin in twins.items()
    ]
    upstream = Upstream("openai/org/m1", endpoints=endpoints, cooldown_s=COOLDOWN_S)
    folder = tmp_path_factory.mktemp("litellm") / JOB
    with running_proxy(env=LITELLM_ENV, folder=folder, job=JOB, upstream=upstream) as running:
        yield running


@pytest.fixture(autouse=True)
def _healthy(twins: dict[str, UpstreamTwin]) -> Iterator[None]:
    yield
    for twin in twins.values():
        twin.status, twin.headers = None, {}


@pytest.fixture
def task(request: pytest.FixtureRequest) -> str:
    """A task of its own for each test."""
    return "".join(letter if letter.isalnum() else "-" for letter in request.node.name)


def _url(twin: UpstreamTwin) -> str:
    return f"http://127.0.0.1:{twin.port}/v1"


def _key(name: str) -> str:
    return f"upstream-secret-of-{name}-0123456789"


def _ask(
    proxy: RunningProxy, trial: str, text: str = "hi", *, path: str = CHAT, timeout_s: float = 60, **more: Any
) -> httpx.Response:
    body: dict[str, Any] = {"model": "m1", "messages": [{"role": "user", "content": text}], "max_tokens": 50, **more}
    if path == RESPONSES:
        body = {"model": "m1", "input": text, **more}
    headers = {"Authorization": f"Bearer {proxy.trial_key(trial)}"}
    return httpx.post(f"{proxy.base_url}{path}", json=body, headers=headers, timeout=timeout_s, trust_env=False)


def _records(proxy: RunningProxy, trial: str, *, success: bool = True) -> list[dict[str, Any]]:
    path = proxy.folder / "trajectories" / f"{trial}.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [record for line in lines if (record := json.loads(line))["success"] is success]


def _upstream_of(proxy: RunningProxy, trial: str, **more: Any) -> str:
    """Which endpoint answers one more call of `trial`, according to its record."""
    n_before = len(_records(proxy, trial))
    reply = _ask(proxy, trial, **more)
    assert reply.status_code == 200, reply.text
    wait_until(lambda: len(_records(proxy, trial)) > n_before, limit_s=5)
    return str(_records(proxy, trial)[-1]["upstream"])


def _home(proxy: RunningProxy, trial: str, **more: Any) -> str:
    """The endpoint that a trial prefers, once what earlier tests did to it is over."""
    home = _preferred(trial.partition("__")[0])
    wait_until(lambda: _upstream_of(proxy, trial, **more) == home, limit_s=10)
    return home


def _preferred(task: str) -> str:
    return by_preference(task, [PoolEndpoint(name, weight) for name, weight in WEIGHTS.items()])[0].name


def _n_asked(twins: dict[str, UpstreamTwin]) -> Counter[str]:
    return Counter({name: len(twin.requests) for name, twin in twins.items()})


def test_each_endpoint_gets_tasks_by_its_weight_and_its_own_key(
    proxy: RunningProxy, twins: dict[str, UpstreamTwin], task: str
) -> None:
    before = _n_asked(twins)
    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(_ask, proxy, f"{task}-{n}__aB3dE5f") for n in range(40)]
    assert {call.result().status_code for call in calls} == {200}
    asked = _n_asked(twins) - before
    assert asked.total() == 40
    assert asked["three"] > max(asked["one"], asked["two"]) > 0
    for name, twin in list(twins.items())[:3]:
        assert set(twin.keys) == {f"Bearer {_key(name)}"}


def test_a_call_beyond_the_limit_of_its_endpoint_goes_to_another(proxy: RunningProxy) -> None:
    task = next(name for name in (f"narrow-{n}" for n in range(10**6)) if _preferred(name) == "narrow")
    first, *others = [_upstream_of(proxy, f"{task}__aB3dE5f") for _ in range(3)]
    assert first == "narrow"
    assert "narrow" not in others


@pytest.mark.parametrize("path", [CHAT, MESSAGES, RESPONSES])
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_all_calls_of_all_attempts_at_a_task_go_to_one_endpoint_which_is_on_record(
    proxy: RunningProxy, twins: dict[str, UpstreamTwin], task: str, path: str, stream: bool
) -> None:
    trials = [f"{task}__{ending}" for ending in ("aB3dE5f", "zzzzzzz", "0000000")]
    home = _home(proxy, f"{task}__1111111")
    before = _n_asked(twins)
    named = {_upstream_of(proxy, trial, path=path, stream=stream) for trial in trials * 2}
    assert named == {home}
    assert _n_asked(twins) - before == {home: 6}


@pytest.mark.parametrize(
    ("path", "status"), [(CHAT, 429), (CHAT, 500), (CHAT, 503), (CHAT, 401), (MESSAGES, 503), (RESPONSES, 429)]
)
def test_calls_leave_an_endpoint_that_fails_and_come_back(
    proxy: RunningProxy, twins: dict[str, UpstreamTwin], task: str, status: int, path: str
) -> None:
    trial = f"{task}__aB3dE5f"
    home = _home(proxy, trial, path=path)
    twins[home].status = status
    before = _n_asked(twins)
    away = _upstream_of(proxy, trial, path=path)
    assert away != home
    assert _upstream_of(proxy, trial, path=path) == away
    assert (_n_asked(twins) - before)[home] == 1  # while it cools down it is left alone
    wait_until(lambda: bool(_records(proxy, trial, success=False)), limit_s=5)
    [failed] = _records(proxy, trial, success=False)
    assert (failed["upstream"], failed["failure"]["status_code"]) == (home, status)
    twins[home].status = None
    wait_until(lambda: _upstream_of(proxy, trial, path=path) == home, limit_s=10)
    capture = judge(proxy.folder, trial, explained=None)
    assert (capture.verdict, capture.failed) == (CaptureVerdict.COMPLETE, 0)


def test_an_endpoint_is_left_as_long_as_it_asks_for(
    proxy: RunningProxy, twins: dict[str, UpstreamTwin], task: str
) -> None:
    trial = f"{task}__aB3dE5f"
    home = _home(proxy, trial)
    twins[home].status, twins[home].headers = 429, {"Retry-After": "2"}
    assert _upstream_of(proxy, trial) != home
    failed_at, twins[home].status = time.monotonic(), None
    assert _home(proxy, trial) == home
    assert time.monotonic() - failed_at > 1.5  # and not the 0.7 s that the pool takes by itself


def test_a_call_that_is_wrong_itself_moves_nothing(
    proxy: RunningProxy, twins: dict[str, UpstreamTwin], task: str
) -> None:
    trial = f"{task}__aB3dE5f"
    home = _home(proxy, trial)
    twins[home].status = 400
    assert _ask(proxy, trial).status_code == 400
    twins[home].status = None
    assert _upstream_of(proxy, trial) == home


def test_a_call_goes_on_while_all_endpoints_cool_down(
    proxy: RunningProxy, twins: dict[str, UpstreamTwin], task: str
) -> None:
    for twin in twins.values():
        twin.status = 500
    assert _ask(proxy, f"{task}__aB3dE5f").status_code == 500
    for twin in twins.values():
        twin.status = None
    assert _ask(proxy, f"{task}__aB3dE5f").status_code == 200


def test_an_endpoint_that_hangs_is_left_after_its_own_timeout(
    proxy: RunningProxy, twins: dict[str, UpstreamTwin], task: str
) -> None:
    trial = f"{task}__aB3dE5f"
    home = _home(proxy, trial)
    twins[home].status = 0  # it never answers
    assert _upstream_of(proxy, trial) != home


def test_only_the_platform_may_ask_for_an_endpoint_by_name(
    proxy: RunningProxy, twins: dict[str, UpstreamTwin], task: str
) -> None:
    before = _n_asked(twins)
    assert _ask(proxy, f"{task}__aB3dE5f", model="two").status_code == 400
    assert not _n_asked(twins) - before
    assert _ask(proxy, SELF_TEST_TRIAL, model="two").status_code == 200
    assert _n_asked(twins) - before == {"two": 1}


def test_the_first_replies_say_which_endpoint_is_silent_and_refuse_only_if_all_are(
    proxy: RunningProxy, twins: dict[str, UpstreamTwin]
) -> None:
    ask = partial(check_one_answers, f"{proxy.base_url}/v1", key=proxy.trial_key(SELF_TEST_TRIAL), places=PLACES)
    twins["one"].status = 401
    twins["three"].status = 500
    assert {name: error.where for name, error in ask().items()} == {"one": "http://one", "three": "http://three"}
    proxy.refuse_unless_recorded(n_ok=1)
    twins["two"].status = 401
    with pytest.raises(EndpointError, match="http://one"):
        ask()


def test_no_key_of_any_endpoint_is_in_any_file_or_answer(
    proxy: RunningProxy, twins: dict[str, UpstreamTwin], task: str
) -> None:
    replies = [_ask(proxy, f"{task}-{n}__aB3dE5f", "echo 400") for n in range(12)]
    assert {reply.status_code for reply in replies} == {400}
    for name in WEIGHTS:
        assert all(_key(name) not in reply.text + str(reply.headers) for reply in replies)
        for path in proxy.folder.rglob("*"):
            assert not path.is_file() or _key(name).encode() not in path.read_bytes(), path


@pytest.mark.faults
def test_a_call_that_would_wait_too_long_for_room_is_refused_with_the_time_to_wait(
    twins: dict[str, UpstreamTwin], tmp_path: Path, task: str
) -> None:
    upstream = Upstream(
        "openai/m1", endpoints=[Endpoint("only", _url(twins["one"]), _key("one"), requests_per_minute=1)]
    )
    with running_proxy(env=LITELLM_ENV, folder=tmp_path / JOB, job=JOB, upstream=upstream) as proxy:
        trial = f"{task}__aB3dE5f"
        assert _ask(proxy, trial).status_code == 200
        for _ in range(2):  # these wait for a minute, and for two
            with pytest.raises(httpx.ReadTimeout):
                _ask(proxy, trial, timeout_s=1)
        reply = _ask(proxy, trial)
        assert reply.status_code == 429
        assert "no endpoint has room for another call" in reply.text
        wait_until(lambda: judge(proxy.folder, trial, explained=None).verdict is CaptureVerdict.CUT, limit_s=5)
