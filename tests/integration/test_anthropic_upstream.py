"""The real LiteLLM proxy before an upstream that speaks Anthropic's messages; the last test spoils its logger."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.installed import LITELLM_ENV
from tests.integration.anthropic_twin import SIGNATURE, THOUGHT, serving_anthropic
from tests.integration.model_calls import (
    CHAT,
    JOB,
    MESSAGES,
    PATHS,
    UPSTREAM_SECRET,
    body_of,
)
from tests.record_contract import documented_fields, fields_of
from tests.waiting import wait_until
from trajgen_assets.core.capture.litellm_config import Upstream
from trajgen_assets.core.capture.proxy import RunningProxy, running_proxy
from trajgen_assets.core.capture.verdict import judge
from trajgen_assets.core.capture.watch import CaptureWatch
from trajgen_assets.core.ledger.models import CaptureVerdict

DOCUMENTED = documented_fields()

# The logger of another version, whose parameters LiteLLM does not know: it raises, LiteLLM says nothing, all get 200.
DEAF = """
async def _deaf(self, kwargs, response, start, end):
    pass
_answers = TrajectoryLogger.async_pre_call_hook
async def _turns_deaf(self, user_api_key_dict, cache, data, call_type):
    if "turn deaf" in str(data.get("messages")):
        TrajectoryLogger.async_log_success_event = _deaf
    return await _answers(self, user_api_key_dict, cache, data, call_type)
TrajectoryLogger.async_pre_call_hook = _turns_deaf
"""

HISTORY = [
    {"role": "user", "content": "hi"},
    {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "older", "signature": "b2xk"},
            {"type": "text", "text": "I look"},
            {"type": "tool_use", "id": "toolu_a", "name": "look", "input": {"at": "a"}},
            {"type": "tool_use", "id": "toolu_b", "name": "look", "input": {"at": "b"}},
        ],
    },
    {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "toolu_a", "content": "A"},
            {"type": "tool_result", "tool_use_id": "toolu_b", "content": "B"},
            {"type": "text", "text": "go on"},
        ],
    },
]


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningProxy]:
    folder = tmp_path_factory.mktemp("litellm")
    with serving_anthropic() as port:
        url = f"http://127.0.0.1:{port}"
        upstream = Upstream("anthropic/m1", url, UPSTREAM_SECRET, input_cost_per_token=1e-6, output_cost_per_token=2e-6)
        env = _env_that_spoils_the_logger(folder)
        with running_proxy(env=env, folder=folder / JOB, job=JOB, upstream=upstream) as running:
            yield running


def _env_that_spoils_the_logger(folder: Path) -> Path:
    """LiteLLM's environment, whose program adds to the job's logger before it starts."""
    program = folder / "env" / "bin" / "litellm"
    program.parent.mkdir(parents=True)
    (folder / "deaf.py").write_text(DEAF)
    spoil = f"cat {folder}/deaf.py >> guest/trajectory_logger.py"
    program.write_text(f'#!/bin/sh\n{spoil}\nexec {LITELLM_ENV}/bin/litellm "$@"\n')
    program.chmod(0o755)
    return folder / "env"


def _post(proxy: RunningProxy, trial: str, path: str, body: dict[str, Any]) -> None:
    headers = {"Authorization": f"Bearer {proxy.trial_key(trial)}"}
    reply = httpx.post(f"{proxy.base_url}{path}", json=body, headers=headers, timeout=30, trust_env=False)
    assert reply.status_code == 200, reply.text


def _record(proxy: RunningProxy, trial: str) -> dict[str, Any]:
    wait_until(lambda: judge(proxy.folder, trial, explained=None).ended == 1, limit_s=10)
    [line] = (proxy.folder / "trajectories" / f"{trial}.jsonl").read_text().splitlines()
    record: dict[str, Any] = json.loads(line)
    return record


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("path", PATHS)
def test_each_dialect_is_on_record_with_signed_thoughts_calls_at_once_and_the_cache(
    proxy: RunningProxy, path: str, stream: bool
) -> None:
    trial = f"t__{path.rpartition('/')[2]}-{stream}"
    _post(proxy, trial, path, body_of(path, "hi", stream=stream))
    record = _record(proxy, trial)
    message = record["response_body"]["choices"][0]["message"]
    assert (message["content"], message["reasoning_content"]) == ("hello", THOUGHT)
    assert message["thinking_blocks"] == [{"type": "thinking", "thinking": THOUGHT, "signature": SIGNATURE}]
    assert [(call["id"], json.loads(call["function"]["arguments"])) for call in message["tool_calls"]] == [
        ("toolu_1", {"at": "x"}),
        ("toolu_2", {"at": "y"}),
    ]
    usage = record["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (331, 5, 336)
    assert (usage["cache_creation_input_tokens"], usage["cache_read_input_tokens"]) == (20, 300)
    assert usage["prompt_tokens_details"]["cached_tokens"] == 300
    assert usage["cost"] == pytest.approx(341e-6)
    assert [each["role"] for each in record["request_body"]["messages"]] == ["system", "user"]
    assert record["request_body"]["tools"][0]["function"]["name"] == "look"
    assert (record["ttft_ms"] is not None) == stream
    assert set(fields_of(record, DOCUMENTED)) <= DOCUMENTED


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_a_history_of_thoughts_calls_and_results_is_in_chat_form(proxy: RunningProxy, stream: bool) -> None:
    more = {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2000, "stop_sequences": ["END"]}
    body = body_of(MESSAGES, "", stream=stream) | more | {"messages": HISTORY, "tool_choice": {"type": "auto"}}
    _post(proxy, f"t__history-{stream}", MESSAGES, body)
    request = _record(proxy, f"t__history-{stream}")["request_body"]
    first, second, turn, *results, last = request["messages"]
    assert (first, second) == ({"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"})
    assert (turn["content"], turn["reasoning_content"]) == ("I look", "older")
    assert turn["thinking_blocks"] == [{"type": "thinking", "thinking": "older", "signature": "b2xk"}]
    assert [call["id"] for call in turn["tool_calls"]] == ["toolu_a", "toolu_b"]
    assert [(each["role"], each["tool_call_id"], each["content"]) for each in results] == [
        ("tool", "toolu_a", "A"),
        ("tool", "toolu_b", "B"),
    ]
    assert (last["role"], last["content"]) == ("user", [{"type": "text", "text": "go on"}])
    assert (request["stop"], request["tool_choice"], request["max_tokens"]) == (["END"], "auto", 2000)


def test_a_logger_that_litellm_cannot_call_any_more_is_noticed_while_the_job_runs(proxy: RunningProxy) -> None:
    trial = "t__deaf"
    watch = CaptureWatch(proxy.folder, grace_s=1, every_s=0)
    for text in ("hi", "turn deaf", "hi"):
        _post(proxy, trial, CHAT, body_of(CHAT, text))
        assert watch.look() is None
    wait_until(lambda: "left no record 1 s after the answer" in (watch.look() or ""), limit_s=20)
    assert not proxy.has_lost_lines()
    assert judge(proxy.folder, trial, explained=None).aborted == 2
    a_minute_on = time.time() + 60
    (proxy.folder / "ended" / trial).touch()
    os.utime(proxy.folder / "ended" / trial, (a_minute_on, a_minute_on))
    capture = judge(proxy.folder, trial, explained="the agent ran out of time")
    assert (capture.verdict, capture.explanation) == (CaptureVerdict.GAP, "2 calls got an answer and no record")
