"""One trajectory record out of what LiteLLM hands to a callback, from a whitelist. Imports no LiteLLM.

`kwargs` of a LiteLLM callback holds the upstream's secret in clear (`api_key`), keys of callers and whole
configuration objects. So a record is never a copy of `kwargs` with parts removed: it is made of the named
fields below and of nothing else.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from chat_form import chat_messages, chat_parameters, chat_tool, tool_call
from plain_json import bounded_text, canonical

SCHEMA_VERSION = 1
MAX_NAME = 200
CLIENT_CLOSED_REQUEST = 499
CLIENT_DISCONNECTED = {
    "error_type": "client_disconnected",
    "status_code": CLIENT_CLOSED_REQUEST,
    "message": "the client closed the connection before the reply was complete",
}

SAMPLING = (
    "model", "max_tokens", "max_completion_tokens", "temperature", "top_p", "top_k", "min_p", "n", "stop", "seed",
    "stream", "tool_choice", "parallel_tool_calls", "response_format", "reasoning_effort", "thinking", "reasoning",
    "presence_penalty", "frequency_penalty", "repetition_penalty", "logit_bias", "logprobs", "top_logprobs",
    "chat_template_kwargs", "return_token_ids", "verbosity", "service_tier",
)  # fmt: skip
REQUEST = ("messages", "tools", "functions", "function_call", *SAMPLING)
RESPONSE = ("id", "object", "created", "model", "system_fingerprint", "service_tier", "prompt_token_ids")
CHOICE = ("index", "finish_reason", "stop_reason", "logprobs", "token_ids")
MESSAGE = (
    "role", "content", "reasoning_content", "thinking_blocks", "tool_calls", "function_call", "refusal",
    "annotations", "images", "audio",
)  # fmt: skip
TOOL_CALL = ("id", "type", "function", "custom")
USAGE = (
    "prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details", "completion_tokens_details",
    "cache_creation_input_tokens", "cache_read_input_tokens",
)  # fmt: skip
SESSION_HEADERS = ("x-claude-code-session-id", "x-session-id", "x-litellm-session-id", "x-instance-id")
SUBAGENT_HEADER = "x-claude-code-agent-id"


def build(
    kwargs: Mapping[str, Any], response: Any, *, admission: Mapping[str, str], started: Any, ended: Any, failed: bool
) -> dict[str, Any]:
    """The record of one call, successful or not, of the trial that `admission` names.

    A stream that its client left is reported by LiteLLM as a success with a made-up finish reason and estimated
    usage. Here it is no success: `failure.error_type` is `client_disconnected`, and the part that had arrived
    stays in `response_body` without a finish reason.

    Args:
        kwargs: the callback's `kwargs`.
        response: its `response_obj`: a LiteLLM response object, a mapping, or None.
        admission: `job`, `trial`, `admission_id` and `dialect`, already verified.
        started: when the call began, naive local or aware.
        ended: when it ended.
        failed: whether LiteLLM reports a failure.
    """
    metadata = call_metadata(kwargs)
    failure = _failure(kwargs) if failed else None
    disconnected = metadata.get("client_disconnected") is True or _is_client_closed(failure)
    request_body = _request_body(kwargs)
    response_body = _response_body(plain_mapping(response), whole=not disconnected)
    record = {
        "schema_version": SCHEMA_VERSION,
        "call_id": admission["admission_id"],
        "attempt": attempt_of(metadata),
        "dialect": admission["dialect"],
        "upstream": _upstream(kwargs),
        "trajectory_route": f"{admission['job']}/{admission['trial']}",
        "session_id": _instance_id(kwargs) or admission["trial"],
        "client_session_id": client_session_id(kwargs),
        "success": not failed and not disconnected,
        "client_disconnected": disconnected,
        "request_time": int(started.timestamp() * 1000),
        "timestamp": started.astimezone(UTC).isoformat(timespec="milliseconds"),
        "duration_ms": _milliseconds(started, ended),
        "ttft_ms": _ttft_ms(kwargs, started),
        "request_sha256": request_sha256(request_body),
        "usage": _usage(response_body, kwargs.get("response_cost")),
        "request_body": request_body,
        "response_body": response_body,
    }
    if disconnected:
        failure = CLIENT_DISCONNECTED
    return record | ({"failure": failure} if failure else {})


def call_metadata(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """LiteLLM's own metadata of the call, wherever this API keeps it. Later places win."""
    params = _mapping(kwargs.get("litellm_params"))
    return {**_mapping(params.get("litellm_metadata")), **_mapping(params.get("metadata"))}


def status_of(record: Mapping[str, Any]) -> int:
    """The HTTP status that the call ended with; 0 when the upstream gave none."""
    return 200 if record["success"] else int(record["failure"]["status_code"] or 0)


def failure_key(kwargs: Mapping[str, Any]) -> tuple[int, bool]:
    """What tells two failures of one call apart: the attempt, and whether it was the client that ended it."""
    return attempt_of(call_metadata(kwargs)), _is_client_closed(_failure(kwargs))


def client_session_id(kwargs: Mapping[str, Any]) -> str | None:
    """The session that the client named, from its headers or its metadata.

    Claude Code makes the calls of a subagent in the session of the whole, and names the subagent beside it: such a call
    has `<session>/<subagent>`.
    """
    request = _client_request(kwargs)
    headers = {str(name).lower(): value for name, value in _mapping(request.get("headers")).items()}
    metadata = _mapping(_mapping(request.get("body")).get("metadata"))
    named = [headers.get(name) for name in SESSION_HEADERS]
    named += [metadata.get("session_id"), _session_in_user_id(metadata.get("user_id"))]
    session = next((value for value in named if isinstance(value, str) and value), None)
    subagent = headers.get(SUBAGENT_HEADER)
    return "/".join(each[:MAX_NAME] for each in (session, subagent) if isinstance(each, str) and each) or None


def request_sha256(request_body: Mapping[str, Any]) -> str:
    """Digest of the request with sorted keys: equal for a call that a client made twice, streamed or not."""
    asked = {name: value for name, value in request_body.items() if name != "stream"}
    return hashlib.sha256(canonical(asked)).hexdigest()


def plain_mapping(value: Any) -> dict[str, Any]:
    """A response object as a mapping, without what is None; empty for what is no object of fields."""
    if hasattr(value, "model_dump"):
        value = value.model_dump(exclude_none=True)
    return _mapping(value)


def _request_body(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    sent = _mapping(_parsed(_mapping(kwargs.get("additional_args")).get("complete_input_dict")))
    # Nothing was sent upstream when the proxy itself refused the call: then the client's own body is all there is.
    source = sent or _mapping(_client_request(kwargs).get("body"))
    body = _pick(chat_parameters({**_mapping(source.get("extra_body")), **source}), REQUEST)
    body.setdefault("model", kwargs.get("model"))
    given = body.get("messages") or source.get("input") or kwargs.get("messages") or []
    messages = list(given) if isinstance(given, list | tuple) else [{"role": "user", "content": given}]
    body["messages"] = chat_messages(messages, source.get("system") or source.get("instructions"))
    if isinstance(body.get("tools"), list):
        body["tools"] = [chat_tool(tool) for tool in body["tools"]]
    return body


def _parsed(value: Any) -> Any:
    """LiteLLM hands over the request of an Anthropic stream as the text that was sent."""
    if not isinstance(value, str | bytes):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return None


def _response_body(response: Mapping[str, Any], *, whole: bool) -> dict[str, Any]:
    body = _pick(response, RESPONSE)
    choices = response.get("choices")
    body["choices"] = [_choice(each) for each in choices] if isinstance(choices, list) else _choice_of_output(response)
    if not whole:  # LiteLLM says "stop" where the stream broke off
        body["choices"] = [choice | {"finish_reason": None} for choice in body["choices"]]
    usage = plain_mapping(response.get("usage"))
    if usage:
        body["usage"] = _pick(usage, USAGE) or _usage_of_output(usage)
    return body if len(body) > 1 or body["choices"] else {}


def _choice(choice: Any) -> dict[str, Any]:
    fields = plain_mapping(choice)
    extra = _mapping(fields.get("provider_specific_fields"))  # where LiteLLM puts what only vLLM sends
    message = _pick(plain_mapping(fields.get("message")), MESSAGE)
    if "tool_calls" in message:
        message["tool_calls"] = [_pick(plain_mapping(call), TOOL_CALL) for call in message["tool_calls"]]
    return _pick({**extra, **fields}, CHOICE) | {"message": message}


def _choice_of_output(response: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What an aborted responses stream or an Anthropic reply holds, as one chat choice."""
    items = response.get("output") if isinstance(response.get("output"), list) else response.get("content")
    parts = [plain_mapping(item) for item in items] if isinstance(items, list) else []
    if not parts:
        return []
    message: dict[str, Any] = {"role": "assistant", "content": "".join(_texts(parts, ("message", "text")))}
    reasoning = "".join(_texts(parts, ("reasoning", "thinking")))
    calls = [tool_call(part) for part in parts if part.get("type") in ("function_call", "tool_use")]
    message |= {"reasoning_content": reasoning} if reasoning else {}
    message |= {"tool_calls": calls} if calls else {}
    reason = response.get("stop_reason") or response.get("status")
    return [{"index": 0, "finish_reason": reason, "message": message}]


def _texts(parts: Iterable[Mapping[str, Any]], kinds: tuple[str, ...]) -> Iterable[str]:
    for part in parts:
        if part.get("type") in kinds:
            inner = part.get("content") or part.get("summary") or [part]
            for piece in inner if isinstance(inner, list) else [inner]:
                fields = plain_mapping(piece)
                yield str(fields.get("text") or fields.get("thinking") or "")


def _usage_of_output(usage: Mapping[str, Any]) -> dict[str, Any]:
    n_input, n_output = int(usage.get("input_tokens") or 0), int(usage.get("output_tokens") or 0)
    return {"prompt_tokens": n_input, "completion_tokens": n_output, "total_tokens": n_input + n_output}


def _usage(response_body: Mapping[str, Any], cost: Any) -> dict[str, Any]:
    usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0, **_mapping(response_body.get("usage"))}
    return usage | {"cost": float(cost) if isinstance(cost, int | float) else None}


def _is_client_closed(failure: Mapping[str, Any] | None) -> bool:
    return failure is not None and failure["status_code"] == CLIENT_CLOSED_REQUEST


def _failure(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    error = _mapping(_mapping(kwargs.get("standard_logging_object")).get("error_information"))
    exception = kwargs.get("exception")
    status = error.get("error_code") or getattr(exception, "status_code", None)
    return {
        "error_type": str(error.get("error_class") or type(exception).__name__)[:MAX_NAME],
        "status_code": int(status) if str(status).isdigit() else None,
        "message": bounded_text(error.get("error_message") or exception),
    }


def attempt_of(metadata: Mapping[str, Any]) -> int:
    """Ordinal of the attempt that LiteLLM is at: 1, plus its retries."""
    retries = metadata.get("attempted_retries")
    return 1 + retries if isinstance(retries, int) else 1


def _upstream(kwargs: Mapping[str, Any]) -> str | None:
    """The name of the endpoint that was asked; None for a call that the proxy itself refused."""
    name = _mapping(_mapping(kwargs.get("litellm_params")).get("model_info")).get("id")
    return name[:MAX_NAME] if isinstance(name, str) and name else None


def _client_request(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    return _mapping(_mapping(kwargs.get("litellm_params")).get("proxy_server_request"))


def _instance_id(kwargs: Mapping[str, Any]) -> str | None:
    request = _client_request(kwargs)
    named = _mapping(request.get("headers")).get("x-instance-id")
    named = named or _mapping(_mapping(request.get("body")).get("metadata")).get("instance_id")
    return named[:MAX_NAME] if isinstance(named, str) and named else None


def _session_in_user_id(user_id: Any) -> str | None:
    """Claude Code packs its session into `metadata.user_id`: as JSON, or behind `_session_` in older versions."""
    if not isinstance(user_id, str):
        return None
    if user_id.startswith("{"):
        try:
            session = _mapping(json.loads(user_id)).get("session_id")
        except ValueError:
            return None
        return session if isinstance(session, str) else None
    return user_id.rpartition("_session_")[2] if "_session_" in user_id else None


def _milliseconds(started: datetime, ended: datetime) -> int:
    return max(0, round((ended - started).total_seconds() * 1000))


def _ttft_ms(kwargs: Mapping[str, Any], started: datetime) -> int | None:
    first = kwargs.get("completion_start_time")
    return _milliseconds(started, first) if kwargs.get("stream") and isinstance(first, datetime) else None


def _pick(source: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: source[name] for name in names if source.get(name) is not None}


def _mapping(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}
