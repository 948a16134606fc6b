import json
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import plain_json
import pytest
import trajectory_record
from pydantic import BaseModel

UPSTREAM_SECRET = "upstream-secret-0123456789"
ADMISSION = {"job": "job-1", "trial": "task__1", "admission_id": "call-1", "dialect": "openai_chat", "seal": "S34L"}
STARTED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
RESPONSE: dict[str, Any] = {
    "id": "cmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hello"}}],
    "usage": {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14},
}


def _kwargs(**more: Any) -> dict[str, Any]:
    """What LiteLLM hands over, with a secret in every place where one was seen, and in some where none was."""
    request = {
        "url": "http://proxy/v1/chat/completions",
        "headers": {"authorization": "Bearer sk-tk-trial-key", "x-session-id": "s-1", "cookie": UPSTREAM_SECRET},
        "body": {"model": "m", "messages": [], "api_key": UPSTREAM_SECRET, "metadata": {"k": UPSTREAM_SECRET}},
    }
    sent = {"model": "org/m", "messages": [{"role": "user", "content": "hi"}], "temperature": 0.5, "stream": True}
    headers = {"extra_headers": {"authorization": UPSTREAM_SECRET}, "extra_body": {"top_k": 5, "key": UPSTREAM_SECRET}}
    metadata = {"user_api_key_auth_metadata": ADMISSION, "attempted_retries": 1, "headers": {"x": UPSTREAM_SECRET}}
    kwargs = {
        "api_key": UPSTREAM_SECRET,
        "model": "m",
        "stream": True,
        "response_cost": 0.25,
        "completion_start_time": STARTED + timedelta(milliseconds=120),
        "additional_args": {"complete_input_dict": sent | headers, "headers": {"Authorization": UPSTREAM_SECRET}},
        "litellm_params": {"api_key": UPSTREAM_SECRET, "metadata": metadata, "proxy_server_request": request},
        "optional_params": {"extra_headers": {"x": UPSTREAM_SECRET}},
        "standard_logging_object": {"error_information": {}, "hidden": UPSTREAM_SECRET},
    }
    return kwargs | more


def _build(response: Any = RESPONSE, *, failed: bool = False, **more: Any) -> dict[str, Any]:
    ended = STARTED + timedelta(seconds=2)
    return trajectory_record.build(
        _kwargs(**more), response, admission=ADMISSION, started=STARTED, ended=ended, failed=failed
    )


def test_nothing_of_a_secret_reaches_the_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAJGEN_UPSTREAM_API_KEY", UPSTREAM_SECRET)
    error = {"error_class": "AuthenticationError", "error_code": "401", "error_message": f"bad key {UPSTREAM_SECRET}"}
    leaky = RESPONSE | {"_hidden_params": {"api_key": UPSTREAM_SECRET}, "headers": {"x": UPSTREAM_SECRET}}
    for failed in (False, True):
        record = _build(leaky, failed=failed, standard_logging_object={"error_information": error})
        line = plain_json.encode(record).decode()
        assert UPSTREAM_SECRET not in line
        assert "sk-tk-trial-key" not in line
        assert ADMISSION["seal"] not in line


def test_a_success_has_the_fields_that_readers_know() -> None:
    record = _build()
    assert (record["schema_version"], record["call_id"], record["attempt"]) == (1, "call-1", 2)
    assert (record["session_id"], record["client_session_id"]) == ("task__1", "s-1")
    assert record["trajectory_route"] == "job-1/task__1"
    assert (record["success"], record["client_disconnected"]) == (True, False)
    assert (record["timestamp"], record["request_time"]) == ("2026-01-02T03:04:05.000+00:00", 1767323045000)
    assert (record["duration_ms"], record["ttft_ms"]) == (2000, 120)
    assert record["request_body"] == {
        "messages": [{"role": "user", "content": "hi"}],
        "model": "org/m",
        "temperature": 0.5,
        "top_k": 5,
        "stream": True,
    }
    assert record["response_body"] == RESPONSE
    assert record["usage"] == {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14, "cost": 0.25}
    assert "failure" not in record


def test_a_plain_call_has_no_time_to_first_token() -> None:
    assert _build(stream=False)["ttft_ms"] is None


def test_a_disconnected_stream_keeps_its_part_and_is_no_success() -> None:
    kwargs = _kwargs()
    kwargs["litellm_params"]["metadata"] |= {"client_disconnected": True}
    record = _build(litellm_params=kwargs["litellm_params"])
    assert (record["success"], record["client_disconnected"]) == (False, True)
    assert record["failure"]["error_type"] == "client_disconnected"
    [choice] = record["response_body"]["choices"]
    assert (choice["finish_reason"], choice["message"]["content"]) == (None, "hello")


class ClosedRequestError(Exception):
    status_code = 499


def test_a_failure_with_the_status_of_a_closed_request_is_a_disconnect() -> None:
    error = {"error_class": "HTTPException", "error_code": "499", "error_message": "Client disconnected"}
    record = _build(None, failed=True, standard_logging_object={"error_information": error})
    assert (record["client_disconnected"], record["response_body"]) == (True, {})


def test_failures_of_a_call_are_told_apart_by_their_attempt_and_by_who_ended_it() -> None:
    keys = [
        trajectory_record.failure_key({"litellm_params": {"metadata": {"attempted_retries": n}}, "exception": error})
        for n, error in ((0, ConnectionError()), (1, ConnectionError()), (1, ClosedRequestError()))
    ]
    assert keys == [(1, False), (2, False), (2, True)]


def test_a_failure_says_what_the_upstream_said_within_bounds() -> None:
    error = {"error_class": "RateLimitError", "error_code": "429", "error_message": "slow down " * 1000}
    record = _build(None, failed=True, standard_logging_object={"error_information": error})
    assert (record["success"], record["attempt"]) == (False, 2)
    assert record["failure"]["status_code"] == 429
    assert len(record["failure"]["message"]) == plain_json.MAX_TEXT


def test_a_failure_without_a_logging_object_is_named_by_its_exception() -> None:
    record = _build(None, failed=True, standard_logging_object=None, exception=TimeoutError("no answer"))
    assert record["failure"] == {"error_type": "TimeoutError", "status_code": None, "message": "no answer"}
    assert trajectory_record.status_of(record) == 0


def test_an_aborted_responses_stream_becomes_a_chat_choice() -> None:
    output = [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "think"}]},
        {"type": "message", "content": [{"type": "output_text", "text": "hel"}]},
        {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"},
    ]
    response = {"id": "r", "object": "response", "output": output, "usage": {"input_tokens": 3, "output_tokens": 2}}
    body = _build(response)["response_body"]
    assert body["choices"][0]["message"] == {
        "role": "assistant",
        "content": "hel",
        "reasoning_content": "think",
        "tool_calls": [{"type": "function", "id": "c1", "function": {"name": "look", "arguments": "{}"}}],
    }
    assert body["usage"] == {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def test_a_refused_anthropic_call_keeps_its_system_prompt_first() -> None:
    params = _kwargs()["litellm_params"]
    params["proxy_server_request"]["body"] = {"system": "be good", "messages": [{"role": "user", "content": "hi"}]}
    record = _build(None, failed=True, additional_args={}, litellm_params=params)
    assert [message["role"] for message in record["request_body"]["messages"]] == ["system", "user"]


def test_a_subagent_of_claude_code_has_a_session_of_its_own_on_record() -> None:
    def session_of(**headers: str) -> str | None:
        request = {"headers": {name.replace("_", "-"): value for name, value in headers.items()}}
        return trajectory_record.client_session_id({"litellm_params": {"proxy_server_request": request}})

    assert session_of(x_claude_code_session_id="s-1") == "s-1"
    assert session_of(x_claude_code_session_id="s-1", x_claude_code_agent_id="a-9") == "s-1/a-9"
    assert (
        session_of(x_claude_code_session_id="s" * 300, x_claude_code_agent_id="a" * 300) == "s" * 200 + "/" + "a" * 200
    )
    assert session_of() is None


@pytest.mark.parametrize(
    ("user_id", "session"),
    [
        ('{"session_id": "s-2"}', "s-2"),
        ("user_1_account__session_s-3", "s-3"),
        ("{not json", None),
        ("plain", None),
        (7, None),
    ],
)
def test_the_session_in_the_user_id_is_found(user_id: Any, session: str | None) -> None:
    body = {"metadata": {"user_id": user_id}}
    kwargs = {"litellm_params": {"proxy_server_request": {"headers": {}, "body": body}}}
    assert trajectory_record.client_session_id(kwargs) == session


def test_equal_requests_have_equal_digests_streamed_or_not() -> None:
    first = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    second = {"messages": [{"content": "hi", "role": "user"}], "model": "m"}
    assert trajectory_record.request_sha256(first) == trajectory_record.request_sha256(second)
    assert trajectory_record.request_sha256(first) != trajectory_record.request_sha256(first | {"model": "n"})


class _Model(BaseModel):
    a: int | None = None


class _Foreign:
    def __str__(self) -> str:
        return "foreign"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("lone \ud800 end", "lone \ufffd end"),
        ("pair \ud83d\ude00", "pair \U0001f600"),
        (float("nan"), None),
        (float("inf"), None),
        (2**70, float(2**70)),
        (10**400, None),
        (b"bytes", "b'bytes'"),
        (_Foreign(), "foreign"),
        (_Model(a=1), {"a": 1}),
        ({1: "one"}, {"1": "one"}),
        (("a", None, True), ["a", None, True]),
    ],
)
def test_whatever_a_value_is_the_line_is_json(value: Any, expected: Any) -> None:
    assert orjson.loads(plain_json.encode({"value": value})) == {"value": expected}


def test_a_value_nested_without_end_is_cut_and_not_raised() -> None:
    nested: Any = "deep"
    for _ in range(500):
        nested = [nested]
    assert json.loads(plain_json.encode({"value": nested}))


def test_a_line_never_holds_a_newline() -> None:
    assert b"\n" not in plain_json.encode({"value": "a\nb\r\n\u2028"})
