"""The real LiteLLM proxy in front of a scripted upstream: what an agent can do, and what of it is on record."""

import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.installed import LITELLM_ENV
from tests.integration.model_calls import (
    CHAT,
    JOB,
    MESSAGES,
    PATHS,
    RESPONSES,
    UPSTREAM_SECRET,
    body_of,
    post,
    records_of,
    settled,
    upstream_at,
)
from tests.integration.upstream_twin import Upstream as UpstreamTwin
from tests.record_contract import documented_fields, fields_of
from tests.waiting import wait_until
from trajgen_assets.core.capture.proxy import RunningProxy, running_proxy
from trajgen_assets.core.capture.verdict import judge, publish
from trajgen_assets.core.ledger.models import CaptureVerdict

DOCUMENTED = documented_fields()


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("path", PATHS)
def test_calls_of_tools_at_once_are_on_record_each_with_its_id_and_all_that_was_used_is_counted(
    proxy: RunningProxy, trial: str, path: str, stream: bool
) -> None:
    body = body_of(path, "look twice", stream=stream)
    assert post(proxy, proxy.trial_key(trial), path, body).status_code == 200
    assert settled(proxy, trial).ok == 1
    [record] = records_of(proxy, trial)
    [choice] = record["response_body"]["choices"]
    calls = choice["message"]["tool_calls"]
    assert [(call["id"], call["function"]["arguments"]) for call in calls] == [
        ("call_1", '{"at": "x"}'),
        ("call_2", '{"at": "y"}'),
    ]
    usage = record["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (11, 5, 16)
    assert usage["prompt_tokens_details"]["cached_tokens"] == 3
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 2
    assert usage["cost"] == pytest.approx(21e-6)
    assert set(fields_of(record, DOCUMENTED)) <= DOCUMENTED


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize(
    ("path", "dialect"),
    [(CHAT, "openai_chat"), (MESSAGES, "anthropic_messages"), (RESPONSES, "openai_responses")],
)
def test_each_dialect_leaves_one_record_in_chat_form(
    proxy: RunningProxy, trial: str, path: str, dialect: str, stream: bool
) -> None:
    reply = post(proxy, proxy.trial_key(trial), path, body_of(path, "hi", stream=stream), **{"x-session-id": "s-7"})
    assert reply.status_code == 200
    capture = settled(proxy, trial)
    assert (capture.verdict, capture.admitted, capture.begun, capture.ok) == (CaptureVerdict.COMPLETE, 1, 1, 1)
    assert (capture.n_input_tokens, capture.n_output_tokens, capture.n_cache_tokens) == (11, 5, 3)
    assert capture.cost_usd == pytest.approx(21e-6)
    [record] = records_of(proxy, trial)
    assert (record["dialect"], record["success"], record["attempt"]) == (dialect, True, 1)
    assert (record["trajectory_route"], record["session_id"]) == (f"{JOB}/{trial}", trial)
    assert record["client_session_id"] == "s-7"
    assert (record["ttft_ms"] is not None) == stream
    request, [choice] = record["request_body"], record["response_body"]["choices"]
    assert [(each["role"], each["content"]) for each in request["messages"]] == [("system", "be brief"), ("user", "hi")]
    assert request["tools"][0]["function"]["name"] == "look"
    assert choice["finish_reason"] == "tool_calls"
    message = choice["message"]
    assert (message["role"], message["content"], message["reasoning_content"]) == ("assistant", "hello", "think")
    [call] = message["tool_calls"]
    assert (call["id"], call["function"]) == ("call_1", {"name": "look", "arguments": '{"at": "x"}'})


def test_the_model_answers_to_its_full_name_too(proxy: RunningProxy, trial: str) -> None:
    names = ("m1", "org/m1", "openai/org/m1")
    replies = [post(proxy, proxy.trial_key(trial), CHAT, body_of(CHAT, "hi", model=name)) for name in names]
    assert [reply.status_code for reply in replies] == [200, 200, 200]
    assert {record["request_body"]["model"] for record in records_of(proxy, trial)} == {"org/m1"}


def test_the_models_are_listed(proxy: RunningProxy, trial: str) -> None:
    headers = {"Authorization": f"Bearer {proxy.trial_key(trial)}"}
    reply = httpx.get(f"{proxy.base_url}/v1/models", headers=headers, trust_env=False)
    assert [model["id"] for model in reply.json()["data"]] == ["m1"]


def test_counting_tokens_is_open_and_no_model_call(proxy: RunningProxy, trial: str) -> None:
    reply = post(proxy, proxy.trial_key(trial), f"{MESSAGES}/count_tokens", body_of(MESSAGES, "hi"))
    assert reply.status_code == 200
    assert settled(proxy, trial).admitted == 0


@pytest.mark.parametrize(
    ("more", "headers"),
    [
        ({"no-log": True}, {}),
        ({"mock_response": "made up"}, {}),
        ({}, {"x-litellm-call-id": "same"}),
    ],
    ids=["no-log", "mock", "call-id"],
)
def test_an_agent_cannot_hide_or_make_up_a_call(
    proxy: RunningProxy, trial: str, more: dict[str, Any], headers: dict[str, str]
) -> None:
    for _ in range(2):
        post(proxy, proxy.trial_key(trial), CHAT, body_of(CHAT, "hi", **more), **headers)
    capture = settled(proxy, trial)
    assert (capture.verdict, capture.admitted, capture.n_records) == (CaptureVerdict.COMPLETE, 2, 2)
    for record in records_of(proxy, trial):
        assert record["trajectory_route"] == f"{JOB}/{trial}"
        assert not record["success"] or record["response_body"]["choices"][0]["message"]["content"] == "hello"


@pytest.mark.parametrize("header", ["x-litellm-enable-message-redaction", "litellm-enable-message-redaction"])
def test_an_agent_cannot_have_its_record_blanked(proxy: RunningProxy, trial: str, header: str) -> None:
    reply = post(proxy, proxy.trial_key(trial), CHAT, body_of(CHAT, "hi"), **{header: "true"})
    assert reply.status_code == 403
    assert settled(proxy, trial).admitted == 0


@pytest.mark.parametrize("path", PATHS)
def test_a_call_that_the_proxy_refuses_is_a_failure_on_record(proxy: RunningProxy, trial: str, path: str) -> None:
    assert post(proxy, proxy.trial_key(trial), path, body_of(path, "hi", model="no-such-model")).status_code == 400
    capture = settled(proxy, trial)
    assert (capture.verdict, capture.ok, capture.failed) == (CaptureVerdict.COMPLETE, 0, 1)


def test_an_upstream_failure_is_on_record_with_its_status(proxy: RunningProxy, trial: str) -> None:
    assert post(proxy, proxy.trial_key(trial), CHAT, body_of(CHAT, "fail")).status_code == 500
    capture = settled(proxy, trial)
    assert (capture.verdict, capture.ok, capture.failed) == (CaptureVerdict.COMPLETE, 0, 1)
    records = records_of(proxy, trial)
    assert [(each["attempt"], each["success"], each["failure"]["status_code"]) for each in records] == [
        (number, False, 500) for number in (1, 2, 3)
    ]
    record = records[-1]
    assert "told to fail" in record["failure"]["message"]
    assert record["request_body"]["messages"][-1] == {"role": "user", "content": "fail"}


def test_a_retry_that_succeeds_is_one_call_with_two_records(proxy: RunningProxy, trial: str, tmp_path: Path) -> None:
    assert post(proxy, proxy.trial_key(trial), CHAT, body_of(CHAT, "flaky")).status_code == 200
    (proxy.folder / "ended" / trial).touch()
    capture = publish(proxy.folder, trial, tmp_path, explained=None)
    assert (capture.verdict, capture.admitted, capture.ok, capture.failed) == (CaptureVerdict.COMPLETE, 1, 1, 0)
    first, last = records_of(proxy, trial)
    assert (first["success"], last["success"], last["attempt"]) == (False, True, 2)
    assert first["call_id"] == last["call_id"]


@pytest.mark.parametrize("path", PATHS)
def test_a_stream_that_the_agent_left_is_no_success(proxy: RunningProxy, trial: str, path: str) -> None:
    headers = {"Authorization": f"Bearer {proxy.trial_key(trial)}"}
    url, body = f"{proxy.base_url}{path}", body_of(path, "slow", stream=True)
    with httpx.stream("POST", url, json=body, headers=headers, timeout=30, trust_env=False) as reply:
        for number, _ in enumerate(reply.iter_lines()):
            if number == 8:
                break
    capture = settled(proxy, trial)
    assert (capture.verdict, capture.ok, capture.disconnected) == (CaptureVerdict.CUT, 0, 1)
    [record] = records_of(proxy, trial)
    assert (record["success"], record["client_disconnected"]) == (False, True)
    assert record["failure"]["error_type"] == "client_disconnected"
    assert [choice["finish_reason"] for choice in record["response_body"]["choices"]] == [None]


@pytest.mark.parametrize("path", PATHS)
def test_a_call_counts_as_served_when_its_answer_is_over_and_no_sooner(
    proxy: RunningProxy, trial: str, path: str
) -> None:
    headers = {"Authorization": f"Bearer {proxy.trial_key(trial)}"}
    url, body = f"{proxy.base_url}{path}", body_of(path, "slow", stream=True)
    served = proxy.folder / "served" / f"{trial}.jsonl"
    with httpx.stream("POST", url, json=body, headers=headers, timeout=30, trust_env=False) as reply:
        lines = reply.iter_lines()  # held: the connection closes with its last reference
        next(lines)
        assert not served.exists()
    wait_until(served.exists, limit_s=10)
    assert post(proxy, proxy.trial_key(trial), path, body_of(path, "hi")).status_code == 200
    wait_until(lambda: len(served.read_text().splitlines()) == 2, limit_s=10)
    admitted = (proxy.folder / "admitted" / f"{trial}.jsonl").read_text().splitlines()
    assert [json.loads(line)["call_id"] for line in served.read_text().splitlines()] == [
        json.loads(line)["call_id"] for line in admitted
    ]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_an_agent_that_left_before_the_first_token_is_on_record(
    proxy: RunningProxy, trial: str, path: str, stream: bool
) -> None:
    headers = {"Authorization": f"Bearer {proxy.trial_key(trial)}"}
    body = body_of(path, "hang", stream=stream)
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{proxy.base_url}{path}", json=body, headers=headers, timeout=0.5, trust_env=False)
    capture = settled(proxy, trial)
    assert (capture.verdict, capture.disconnected, capture.aborted) == (CaptureVerdict.CUT, 1, 0)


def test_calls_made_at_once_are_all_on_record_each_in_its_trial(proxy: RunningProxy, trial: str) -> None:
    trials = [f"{trial}-{number}" for number in range(4)]
    with ThreadPoolExecutor(16) as pool:
        calls = [pool.submit(post, proxy, proxy.trial_key(each), CHAT, body_of(CHAT, "hi")) for each in trials * 8]
    assert {call.result().status_code for call in calls} == {200}
    captures = [settled(proxy, each) for each in trials]
    assert [(capture.verdict, capture.ok) for capture in captures] == [(CaptureVerdict.COMPLETE, 8)] * 4


def test_hostile_text_is_on_record_as_it_is(proxy: RunningProxy, trial: str) -> None:
    text = 'line\n\u2028"quoted" \x00 \U0001f600 ' + "x" * 3_000_000
    body = json.dumps(body_of(CHAT, text + "LONE")).replace("LONE", "\\ud800")  # a lone surrogate, as JSON can hold it
    headers = {"Authorization": f"Bearer {proxy.trial_key(trial)}", "Content-Type": "application/json"}
    reply = httpx.post(f"{proxy.base_url}{CHAT}", content=body, headers=headers, timeout=60, trust_env=False)
    capture = settled(proxy, trial)
    assert (capture.admitted, capture.ended, capture.n_torn_lines) == (1, 1, 0)
    if reply.status_code == 200:
        assert records_of(proxy, trial)[0]["request_body"]["messages"][1]["content"].startswith(text[:100])


def test_a_call_that_cannot_be_written_down_is_not_let_through(
    proxy: RunningProxy, trial: str, twin: UpstreamTwin
) -> None:
    (proxy.folder / "admitted" / f"{trial}.jsonl").symlink_to(proxy.folder / "elsewhere")  # O_NOFOLLOW refuses it
    n_before = len(twin.requests)
    assert post(proxy, proxy.trial_key(trial), CHAT, body_of(CHAT, "hi")).status_code == 503
    assert len(twin.requests) == n_before
    assert not (proxy.folder / "elsewhere").exists()
    assert proxy.has_lost_lines()


def test_a_record_that_cannot_be_written_is_a_gap(proxy: RunningProxy, trial: str) -> None:
    (proxy.folder / "trajectories" / f"{trial}.jsonl").symlink_to(proxy.folder / "elsewhere")
    assert post(proxy, proxy.trial_key(trial), CHAT, body_of(CHAT, "hi")).status_code == 200
    deadline = time.monotonic() + 5
    while "could not be written" not in judge(proxy.folder, trial, explained="cancelled").explanation:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert judge(proxy.folder, trial, explained="the trial was cancelled").verdict is CaptureVerdict.GAP


def test_a_trial_is_published_as_it_was_recorded(proxy: RunningProxy, trial: str, tmp_path: Path) -> None:
    for path in (CHAT, MESSAGES):
        post(proxy, proxy.trial_key(trial), path, body_of(path, "hi"))
    (proxy.folder / "ended" / trial).touch()
    capture = publish(proxy.folder, trial, tmp_path, explained=None)
    assert (capture.verdict, capture.n_records) == (CaptureVerdict.COMPLETE, 2)
    source = (proxy.folder / "trajectories" / f"{trial}.jsonl").read_bytes()
    assert (tmp_path / "agent" / "litellm-trajectory.jsonl").read_bytes() == source


def test_no_secret_is_in_any_file_of_the_folder(proxy: RunningProxy, trial: str, twin: UpstreamTwin) -> None:
    post(proxy, proxy.trial_key(trial), CHAT, body_of(CHAT, "hi"))
    settled(proxy, trial)
    assert twin.keys[-1] == f"Bearer {UPSTREAM_SECRET}"  # the upstream did get it
    _assert_no_secret_in_files(proxy, trial)
    assert UPSTREAM_SECRET not in repr(proxy)
    assert proxy.master_key not in repr(proxy)


def _assert_no_secret_in_files(proxy: RunningProxy, trial: str) -> None:
    secrets = (UPSTREAM_SECRET, proxy.master_key, proxy.subkey, proxy.trial_key(trial))
    for path in proxy.folder.rglob("*"):
        if path.is_file() and path.suffix != ".pyc":
            found = [secret for secret in secrets if secret.encode() in path.read_bytes()]
            assert found == [], path


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("status", [401, 500])
def test_an_upstream_that_echoes_its_key_in_a_refusal_gives_it_to_nobody(
    proxy: RunningProxy, trial: str, twin: UpstreamTwin, status: int, path: str, stream: bool
) -> None:
    reply = post(proxy, proxy.trial_key(trial), path, body_of(path, f"echo {status}", stream=stream))
    assert twin.keys[-1] == f"Bearer {UPSTREAM_SECRET}"  # the upstream did get it
    assert reply.status_code == status
    assert "no access for token [redacted], sorry" in reply.json()["error"]["message"]
    assert UPSTREAM_SECRET not in reply.text
    assert UPSTREAM_SECRET not in str(reply.headers)
    assert settled(proxy, trial).failed == 1
    assert "no access for token [redacted], sorry" in records_of(proxy, trial)[0]["failure"]["message"]
    _assert_no_secret_in_files(proxy, trial)


@pytest.mark.parametrize("when", ["first", "late"])
@pytest.mark.parametrize("path", PATHS)
def test_an_upstream_that_echoes_its_key_in_a_stream_gives_it_to_nobody(
    proxy: RunningProxy, trial: str, path: str, when: str
) -> None:
    reply = post(proxy, proxy.trial_key(trial), path, body_of(path, f"echo {when}", stream=True))
    assert "no access for token [redacted], sorry" in reply.text
    assert ("part 1" in reply.text) == (when == "late")
    assert UPSTREAM_SECRET not in reply.text
    assert settled(proxy, trial).failed == 1
    _assert_no_secret_in_files(proxy, trial)


def test_a_key_echoed_to_openais_client_keeps_the_class_of_its_error(proxy: RunningProxy, trial: str) -> None:
    client = openai.OpenAI(base_url=f"{proxy.base_url}/v1", api_key=proxy.trial_key(trial), max_retries=0)
    with client, pytest.raises(openai.AuthenticationError, match=r"no access for token \[redacted\], sorry"):
        client.chat.completions.create(model="m1", messages=[{"role": "user", "content": "echo 401"}])


def test_a_proxy_killed_with_a_call_in_flight_leaves_a_gap_unless_explained(
    twin: UpstreamTwin, trial: str, tmp_path: Path
) -> None:
    upstream = upstream_at(twin.port, "hosted_vllm/org/m1")
    with running_proxy(env=LITELLM_ENV, folder=tmp_path / JOB, job=JOB, upstream=upstream) as proxy:
        headers = {"Authorization": f"Bearer {proxy.trial_key(trial)}"}
        url, body = f"{proxy.base_url}{CHAT}", body_of(CHAT, "slow", stream=True)
        post(proxy, proxy.trial_key(trial), CHAT, body_of(CHAT, "hi"))
        with httpx.stream("POST", url, json=body, headers=headers, timeout=30, trust_env=False) as reply:
            lines = reply.iter_lines()
            next(lines)
            os.kill(proxy.process.pid, signal.SIGKILL)
            with pytest.raises(httpx.RemoteProtocolError):
                list(lines)
        wait_until(lambda: not proxy.alive())
        unexplained = judge(proxy.folder, trial, explained=None)
        assert (unexplained.verdict, unexplained.aborted, unexplained.ok) == (CaptureVerdict.GAP, 1, 1)
        assert judge(proxy.folder, trial, explained="the proxy was stopped").verdict is CaptureVerdict.CUT
