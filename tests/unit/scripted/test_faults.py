import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.unit.scripted.asking import KNOWN, post, terminus_body
from trajgen_assets.core.scripted import Fault, FaultPlan, ScriptedModel, running_scripted_model
from trajgen_assets.core.scripted.faults import FaultSwitch


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (Fault.RATE_LIMIT, 429, "rate_limit_exceeded"),
        (Fault.SERVER_ERROR, 500, None),
        (Fault.UNAUTHORIZED, 401, "invalid_api_key"),
        (Fault.CONTEXT_LENGTH, 400, "context_length_exceeded"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_refusal_says_what_the_api_would(
    model: ScriptedModel, fault: Fault, status: int, code: str | None, stream: bool
) -> None:
    model.set_fault(fault)
    response = post(model.base_url, terminus_body(stream=stream))
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)


def test_a_refused_key_is_in_the_refusal_as_some_endpoints_have_it(model: ScriptedModel) -> None:
    model.set_fault(Fault.UNAUTHORIZED)
    response = post(model.base_url, terminus_body(), authorization="Bearer my-token")
    assert "No access for token my-token, sorry." in response.json()["error"]["message"]


def test_a_rate_limit_says_when_to_come_back(model: ScriptedModel) -> None:
    model.set_fault(Fault.RATE_LIMIT, delay_s=2.5)
    assert post(model.base_url, terminus_body()).headers["retry-after"] == "3"


def test_a_hanging_request_ends_when_the_client_leaves(model: ScriptedModel) -> None:
    model.set_fault(Fault.HANG, count=1)
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{model.base_url}/chat/completions", json=terminus_body(), timeout=0.2)
    assert post(model.base_url, terminus_body()).status_code == 200


def test_a_slow_answer_comes_late_and_whole(model: ScriptedModel) -> None:
    model.set_fault(Fault.SLOW, delay_s=0.2)
    started = time.monotonic()
    assert post(model.base_url, terminus_body()).status_code == 200
    assert time.monotonic() - started >= 0.2


@pytest.mark.parametrize("stream", [False, True])
def test_a_cut_answer_breaks_off_after_its_beginning(model: ScriptedModel, stream: bool) -> None:
    model.set_fault(Fault.CUT)
    parts: list[bytes] = []
    with httpx.stream("POST", f"{model.base_url}/chat/completions", json=terminus_body(stream=stream)) as response:
        assert response.status_code == 200
        with pytest.raises(httpx.RemoteProtocolError):
            parts.extend(response.iter_bytes())
    received = b"".join(parts)
    assert len(received) > 100
    assert b"[DONE]" not in received


def test_only_the_next_requests_are_hit(model: ScriptedModel) -> None:
    model.set_fault(Fault.SERVER_ERROR, count=2)
    assert [post(model.base_url, terminus_body()).status_code for _ in range(3)] == [500, 500, 200]
    assert model.n_requests() == 3


def test_only_requests_of_the_task_are_hit_or_counted(model: ScriptedModel) -> None:
    model.set_fault(Fault.SERVER_ERROR, count=1, match=KNOWN.match)
    other, hit = terminus_body(match="Another task."), terminus_body()
    assert [post(model.base_url, body).status_code for body in (other, hit, hit)] == [200, 500, 200]


def test_a_fault_can_be_set_and_lifted_over_http(model: ScriptedModel) -> None:
    for plan, status in (({"fault": "server_error", "count": None}, 500), ({"fault": "none"}, 200)):
        assert httpx.post(f"{model.origin}/_fault", json=plan).status_code == 200
        assert post(model.base_url, terminus_body()).status_code == status


@pytest.mark.parametrize("plan", [{}, {"fault": "flood"}, {"fault": "hang", "count": 0}, {"fault": "hang", "for": 1}])
def test_a_malformed_plan_is_refused_and_changes_nothing(model: ScriptedModel, plan: dict[str, Any]) -> None:
    assert httpx.post(f"{model.origin}/_fault", json=plan).status_code == 400
    assert post(model.base_url, terminus_body()).status_code == 200


def test_a_model_can_start_with_a_fault() -> None:
    with running_scripted_model(fault=Fault.SERVER_ERROR) as model:
        assert post(model.base_url, terminus_body()).status_code == 500


def test_a_count_is_exact_among_threads() -> None:
    switch = FaultSwitch()
    switch.set(FaultPlan(fault=Fault.HANG, count=50))
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda _: switch.take("text").fault, range(400)))
    assert taken.count(Fault.HANG) == 50
