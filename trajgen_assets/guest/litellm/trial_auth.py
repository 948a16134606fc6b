"""Who may call this proxy: the trials of one job, each with its own key, on the model routes only.

Every admitted model call is written down here, before it goes on and apart from the logger, so that a record
that the logger never wrote is missed.
"""

import asyncio
import hmac
import json
import os
from functools import partial

import capture_files
import litellm
import trial_keys
from admission import DIALECTS, SELF_TEST_TRIAL, admit, subkey
from budgets import budget
from fastapi import HTTPException, Request
from litellm.proxy._types import LitellmUserRoles, UserAPIKeyAuth
from litellm.proxy.proxy_server import app
from route_gate import COUNT_TOKENS, LISTINGS, close_other_routes
from trajectory_logger import trajectory_logger

# What ends an agent at once when no budget is left. Terminus-2 tries everything again for minutes but 401; Claude Code
# (2.1.329) tries just that again, and ends with 403.
OVER_BUDGET = {"anthropic_messages": 403}
OVER_BUDGET_ELSEWHERE = 401

close_other_routes(app)  # now, as LiteLLM reads its configuration: some routes would never ask us


async def authenticate(request: Request, api_key: str) -> UserAPIKeyAuth:
    """Let a request pass as one trial of this job, or as the platform.

    Raises:
        HTTPException: 401 for a missing, forged, foreign or ended key; 403 for any route but the model routes; one of
            both once a budget is used up; 503 when the call could not be written down, or nothing would record it.
    """
    route = _route(request)
    if _is_master_key(api_key):
        return _platform(route)
    trial = _trial_of(api_key)
    if route not in DIALECTS and route != COUNT_TOKENS and route not in LISTINGS:
        raise HTTPException(403, "only the model routes are open to trials")
    _refuse_hidden_calls(request, trial)
    if route in DIALECTS and trial != SELF_TEST_TRIAL:
        await _refuse_beyond_budget(trial, route)
    return _as_trial(trial, _admitted(trial, route) if route in DIALECTS else {"trial": trial})


def _route(request: Request) -> str | None:
    """The path, or None for anything that is not a plain GET or POST of its kind (a web socket has no method)."""
    path, method = request.scope.get("path"), request.scope.get("method")
    expected = "GET" if path in LISTINGS or str(path).startswith("/health") else "POST"
    return path if method == expected else None


def _is_master_key(api_key: str) -> bool:
    return hmac.compare_digest((api_key or "").encode(), os.environ["TRAJGEN_MASTER_KEY"].encode())


def _platform(route: str | None) -> UserAPIKeyAuth:
    if route is None or not (route.startswith("/health") or route in LISTINGS or route in DIALECTS):
        raise HTTPException(403, "this proxy has no administration")
    return UserAPIKeyAuth(api_key="platform", key_alias="platform", user_role=LitellmUserRoles.INTERNAL_USER)


def _trial_of(api_key: str) -> str:
    named = trial_keys.verify(subkey(), api_key or "")
    if named is None or named[0] != os.environ["TRAJGEN_JOB"] or not capture_files.TRIAL_PATTERN.fullmatch(named[1]):
        raise HTTPException(401, "no key of a trial of this job")
    if capture_files.has_ended(named[1]):
        raise HTTPException(401, "the trial of this key has ended")
    return named[1]


def _refuse_hidden_calls(request: Request, trial: str) -> None:
    """Refuse what would leave a call unrecorded or its record blank."""
    if trajectory_logger not in litellm.callbacks:
        error = HTTPException(503, "the trajectory logger is not registered: nothing would be recorded")
        capture_files.mark_broken(trial, "logger", error)
        raise error
    if any("redaction" in name or "disable-callbacks" in name for name in request.headers):
        raise HTTPException(403, "calls through this proxy are recorded as they are")


async def _refuse_beyond_budget(trial: str, route: str) -> None:
    """Refuse with the one status after which agents neither ask again nor go on."""
    await budget().caught_up()
    refusal = budget().refusal(trial)
    if refusal is not None:
        raise HTTPException(OVER_BUDGET.get(DIALECTS[route], OVER_BUDGET_ELSEWHERE), refusal.text)


def _admitted(trial: str, route: str) -> dict[str, str]:
    admission = admit(os.environ["TRAJGEN_JOB"], trial, route)
    line = {"call_id": admission["admission_id"], "dialect": admission["dialect"], "at": capture_files.now_stamp()}
    try:
        capture_files.note_losses()  # a disk that is still full takes no further call
        capture_files.append_line(capture_files.trial_file("admitted", trial), json.dumps(line).encode())
    except OSError as error:
        capture_files.mark_broken(trial, "admission", error)
        raise HTTPException(503, "the call could not be written down, so it is not let through") from error
    _note_when_served(trial, admission["admission_id"])
    return admission


def _note_when_served(trial: str, call_id: str) -> None:
    """Have it written down when the proxy is done with the call: its client has the whole answer, or has gone.

    Custom auth runs in the task that serves the request, whose end is the end of the answer, streamed or not. The
    logger has no part in this, so that a call which it was never told of is missed while the job runs.
    """
    task = asyncio.current_task()
    if task is not None:
        task.add_done_callback(partial(_served, trial, call_id))


def _served(trial: str, call_id: str, _: object) -> None:
    budget().served(call_id)
    line = {"call_id": call_id, "at": capture_files.now_stamp()}
    try:
        capture_files.append_line(capture_files.trial_file("served", trial), json.dumps(line).encode())
    except OSError as error:
        capture_files.mark_broken(trial, "served", error)


def _as_trial(trial: str, metadata: dict[str, str]) -> UserAPIKeyAuth:
    return UserAPIKeyAuth(
        api_key=f"trial-{trial}",
        key_alias=trial,
        metadata=metadata,
        user_role=LitellmUserRoles.INTERNAL_USER,
    )
