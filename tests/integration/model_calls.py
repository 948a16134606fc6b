"""Calls of a model in each of the three dialects, and the upstream that they go to."""

import json
import time
from typing import Any

import httpx

from trajgen_assets.core.capture.litellm_config import Upstream
from trajgen_assets.core.capture.proxy import RunningProxy
from trajgen_assets.core.capture.verdict import Capture, judge

UPSTREAM_SECRET = "upstream-secret-0123456789"
JOB = "job-1"
CHAT, MESSAGES, RESPONSES = PATHS = ("/v1/chat/completions", "/v1/messages", "/v1/responses")
LOOK = {"type": "object", "properties": {"at": {"type": "string"}}}


def upstream_at(port: int, model: str = "openai/org/m1") -> Upstream:
    """The upstream that listens on a port of this machine."""
    url = f"http://127.0.0.1:{port}/v1"
    return Upstream(model, url, UPSTREAM_SECRET, input_cost_per_token=1e-6, output_cost_per_token=2e-6, timeout_s=30)


def body_of(path: str, text: str, **more: Any) -> dict[str, Any]:
    """The body of a call with one system and one user message and one tool, as a client of this route sends it."""
    if path == RESPONSES:
        tool = {"type": "function", "name": "look", "parameters": LOOK}
        return {"model": "m1", "instructions": "be brief", "input": text, "tools": [tool], **more}
    user = {"role": "user", "content": text}
    if path == MESSAGES:
        tools = [{"name": "look", "input_schema": LOOK}]
        return {"model": "m1", "system": "be brief", "messages": [user], "tools": tools, "max_tokens": 50, **more}
    tools = [{"type": "function", "function": {"name": "look", "parameters": LOOK}}]
    return {"model": "m1", "messages": [{"role": "system", "content": "be brief"}, user], "tools": tools, **more}


def post(proxy: RunningProxy, key: str, path: str, body: dict[str, Any], **headers: str) -> httpx.Response:
    """Make one call with `key` as bearer token, or with `headers` alone where it is empty."""
    sent = {"Authorization": f"Bearer {key}", **headers} if key else headers
    return httpx.post(f"{proxy.base_url}{path}", json=body, headers=sent, timeout=30, trust_env=False)


def settled(proxy: RunningProxy, trial: str, *, explained: str | None = None) -> Capture:
    """The verdict once every admitted call has an end, or after five seconds."""
    deadline = time.monotonic() + 5
    while (capture := judge(proxy.folder, trial, explained=explained)).aborted and time.monotonic() < deadline:
        time.sleep(0.02)
    return capture


def records_of(proxy: RunningProxy, trial: str) -> list[dict[str, Any]]:
    """The records of a trial, in order."""
    lines = (proxy.folder / "trajectories" / f"{trial}.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]
