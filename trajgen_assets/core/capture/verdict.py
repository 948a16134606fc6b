"""Is everything that a trial's agent asked the model on record? The verdict on a trial's capture.

Three files of one trial are held against each other: the calls that custom auth admitted, the events that the
logger journalled, and the records. Admission and logger know nothing of each other, so a call that the logger
missed shows up here.
"""

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from trajgen_assets.core.capture.agent_count import AgentCount, count_replies
from trajgen_assets.core.capture.evidence import (
    Calls,
    Records,
    ended_at,
    read_calls,
    read_records,
    tally,
    trajectory_file,
)
from trajgen_assets.core.capture.stored import SUFFIX, opened, stored
from trajgen_assets.core.capture.untrusted_folder import opened_folder, placed_file, remove_file
from trajgen_assets.core.counting import count_of
from trajgen_assets.core.faults import reached
from trajgen_assets.core.ledger.models import CaptureVerdict

SETTLE_S = 2.0
RETRY_SETTLE_S = 0.5
POLL_S = 0.05
TRAJECTORY_NAME = "litellm-trajectory.jsonl"
CAPTURE_NAME = "capture.json"


class Capture(BaseModel):
    """The verdict and its grounds, as written to `capture.json`.

    `admitted` calls are what custom auth let through. Of these, `begun` reached LiteLLM's routing, `ended` have an
    outcome: `ok`, `failed`, or `disconnected` where the agent left; `aborted` have none. `n_records` counts lines,
    of which a retried call has several. Tokens and cost are those of the successful records. `agent_count` is what
    the agent says itself, where it does.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    schema_version: Literal[1] = 1
    trial: str
    verdict: CaptureVerdict
    explanation: str
    admitted: int
    begun: int
    ended: int
    ok: int
    failed: int
    aborted: int
    disconnected: int
    n_records: int
    n_torn_lines: int
    size_bytes: int
    trajectory_sha256: str | None
    n_input_tokens: int
    n_output_tokens: int
    n_cache_tokens: int
    cost_usd: float | None
    agent_count: AgentCount | None = None


def judge(proxy_dir: Path, trial: str, *, explained: str | None, cut_by: str | None = None) -> Capture:
    """The verdict on the capture of `trial`, from the files under the proxy's working folder.

    `complete`: every admitted call has an outcome and a whole record. `cut`: the only calls without one are
    explained, by `explained` or by the agent's own disconnect, or `cut_by` kept the agent from its next call. `gap`:
    anything else, and a trial that made no model call at all, because there is nothing to learn from it. The agent's
    own files are not looked at.

    Args:
        proxy_dir: `artifacts/litellm/<job>`.
        trial: the trial's name.
        explained: the known event that explains unfinished calls ("the agent ran out of time"), if there was one.
        cut_by: what the agent was refused a further call for, if it was.
    """
    calls, records = read_calls(proxy_dir, trial), read_records(proxy_dir, trial)
    return _decide(trial, calls, records, explained, None, cut_by=cut_by)


def publish(
    proxy_dir: Path,
    trial: str,
    trial_dir: Path,
    *,
    explained: str | None,
    cut_by: str | None = None,
    settle_s: float = SETTLE_S,
) -> Capture:
    """Copy the trajectory to `<trial_dir>/agent/litellm-trajectory.jsonl` and write `capture.json` beside it.

    Both files are whole, durable and replace whatever lies there, links included. Safe to repeat. A trial without
    a record gets no trajectory file. Calls in flight get until `settle_s` seconds after the trial's end marker to
    be recorded. An agent that tells of more replies than calls were admitted asked past the proxy: that is a gap.

    Raises:
        OSError: `trial_dir` is missing or a link, or the disk is full.
    """
    calls = _settled_calls(proxy_dir, trial, settle_s)
    with opened_folder(trial_dir, "agent") as folder:
        records = _copy_records(proxy_dir, trial, folder)
        reached("during_publish")
        capture = _decide(trial, calls, records, explained, count_replies(folder), cut_by=cut_by)
        with placed_file(folder, CAPTURE_NAME) as file:
            file.write(capture.model_dump_json(indent=2).encode() + b"\n")
    return capture


def _settled_calls(proxy_dir: Path, trial: str, settle_s: float) -> Calls:
    """Read the calls, again and again while an end may still be on its way and the trial has only just ended."""
    end = ended_at(proxy_dir, trial)
    while True:
        calls = read_calls(proxy_dir, trial)
        # A failed attempt may be the first of a call whose retry has just been answered.
        wait_s = settle_s if calls.admitted - calls.ended else min(settle_s, RETRY_SETTLE_S) if calls.failed else 0.0
        if end is None or time.time() >= end + wait_s:
            return calls
        time.sleep(POLL_S)


def _copy_records(proxy_dir: Path, trial: str, folder_fd: int) -> Records:
    source = trajectory_file(proxy_dir, trial)
    remove_file(folder_fd, TRAJECTORY_NAME + SUFFIX)  # what lies there now was put there by the agent
    if stored(source) is None:
        remove_file(folder_fd, TRAJECTORY_NAME)
        return Records()
    with opened(source) as content, placed_file(folder_fd, TRAJECTORY_NAME) as copy:
        return tally(content, copy)


def _decide(
    trial: str,
    calls: Calls,
    records: Records,
    explained: str | None,
    agent_count: AgentCount | None,
    *,
    cut_by: str | None,
) -> Capture:
    recorded = set(records.last)
    # A record without its end event is an end all the same: the proxy died, or is just about to write the event.
    ended = calls.ended | recorded
    aborted = calls.admitted - ended
    good = [record for record in records.last.values() if record["success"] is True]
    left = [record for record in records.last.values() if record["client_disconnected"] is True]
    holes = [*_holes(calls, records, explained, n_aborted=len(aborted)), *_asked_elsewhere(calls, agent_count)]
    cuts = [f"{count_of(len(aborted), 'call')} did not end: {explained}"] if aborted and explained else []
    cuts += [cut_by] if cut_by else []
    cuts += [f"the agent left {count_of(len(left), 'call')} before the reply"] if left else []
    verdict = CaptureVerdict.GAP if holes else CaptureVerdict.CUT if cuts else CaptureVerdict.COMPLETE
    whole = f"{count_of(len(calls.admitted), 'call')} admitted, each with its record"
    return Capture(
        trial=trial,
        verdict=verdict,
        explanation="; ".join(holes or cuts or [whole]),
        admitted=len(calls.admitted),
        begun=len(calls.begun),
        ended=len(ended),
        ok=len(good),
        failed=len(recorded) - len(good) - len(left),
        aborted=len(aborted),
        disconnected=len(left),
        n_records=records.n_records,
        n_torn_lines=records.n_torn_lines,
        size_bytes=records.size_bytes,
        trajectory_sha256=records.sha256,
        **_totals(good),
        agent_count=agent_count,
    )


def _holes(calls: Calls, records: Records, explained: str | None, *, n_aborted: int) -> Iterable[str]:
    """Why the capture is a gap, one clause for each reason."""
    if not calls.admitted:
        yield "no model call was admitted"
    if n_aborted and not explained:
        yield f"{count_of(n_aborted, 'call')} of {len(calls.admitted)} did not end, and nothing explains it"
    n_vanished = len((calls.served & calls.admitted) - calls.ended - set(records.last))
    if n_vanished and explained:
        yield f"{count_of(n_vanished, 'call')} got an answer and no record"
    n_unrecorded = len(calls.ended - set(records.last))
    if n_unrecorded:
        yield f"{count_of(n_unrecorded, 'call')} ended without a whole record"
    n_strange = len((calls.ended | set(records.last)) - calls.admitted)
    if n_strange and calls.admitted:
        yield f"{count_of(n_strange, 'recorded call')} never admitted"
    if calls.n_lost:
        yield f"{count_of(calls.n_lost, 'record')} could not be written"
    # Only a proxy that was killed while it wrote leaves a line cut off at the very end; that call is an aborted one.
    n_unexplained = records.n_torn_lines - (1 if records.is_cut_off and explained and n_aborted else 0)
    if n_unexplained:
        yield count_of(n_unexplained, "torn line")


def _asked_elsewhere(calls: Calls, agent_count: AgentCount | None) -> Iterable[str]:
    """An agent can only say too much against itself: a forged count makes its own result void."""
    if agent_count is not None and calls.admitted and agent_count.n_replies > len(calls.admitted):
        admitted = count_of(len(calls.admitted), "call was admitted", "calls were admitted")
        said = count_of(agent_count.n_replies, "reply", "replies")
        yield f"the agent tells of {said} in {agent_count.source}, and {admitted}"


def _totals(good: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    usages = [record["usage"] for record in good if isinstance(record["usage"], dict)]
    costs = [usage["cost"] for usage in usages if isinstance(usage.get("cost"), int | float)]
    return {
        "n_input_tokens": sum(_tokens(usage, "prompt_tokens") for usage in usages),
        "n_output_tokens": sum(_tokens(usage, "completion_tokens") for usage in usages),
        "n_cache_tokens": sum(_cached(usage) for usage in usages),
        "cost_usd": float(sum(costs)) or None,  # LiteLLM says 0 where it knows no price
    }


def _cached(usage: Mapping[str, Any]) -> int:
    details = usage.get("prompt_tokens_details")
    cached = _tokens(details, "cached_tokens") if isinstance(details, dict) else 0
    return cached or _tokens(usage, "cache_read_input_tokens")


def _tokens(usage: Mapping[str, Any], name: str) -> int:
    value = usage.get(name)
    return value if isinstance(value, int) else 0
