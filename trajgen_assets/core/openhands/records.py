"""Model calls of an instance as lines of `litellm-trajectory.jsonl`, from its completions or else from its history.

Whatever came of it later reads one form of record. What the harness did not keep is not made up: a history knows no
request, so its requests are put together from what stood before each answer.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from trajgen_assets.core.atomic import open_atomic
from trajgen_assets.core.openhands.completions import Calls, Completion, read_calls
from trajgen_assets.core.openhands.history import Dialogue, dialogue_of, tools_of
from trajgen_assets.core.openhands.metrics import metrics_of, usage_by_response
from trajgen_assets.core.openhands.rows import OutputRow
from trajgen_assets.core.sft.encoding import encode
from trajgen_assets.core.sft.messages import Json

Source = Literal["completions", "history"]


@dataclass(frozen=True)
class Told:
    """The calls of an instance, and what is known of those that are not among them.

    Attributes:
        records: one for each call, in their order.
        source: where they are from.
        missing: calls that the harness counted and that are nowhere.
        n_lost_answers: of these, answers that the agent could not read, as its history tells.
        n_condensed: how often what the model saw was condensed; a history alone does not show it as the model did.
        unreadable: completion files that are no whole call, with the reason.
    """

    records: list[Json]
    source: Source
    missing: tuple[str, ...] = ()
    n_lost_answers: int = 0
    n_condensed: int = 0
    unreadable: Mapping[str, str] = field(default_factory=dict)


def told_by(row: OutputRow, completions: Path | None, trial: str) -> Told:
    """Return the calls of a row's instance.

    Args:
        row: as `output.jsonl` has it.
        completions: `llm_completions/<id>`, if there is such a folder.
        trial: what the records are to say that they are of.

    Raises:
        HistoryError: there are no completions, and its history cannot be put together to a dialogue.
    """
    model = _model_of(row)
    calls = read_calls(completions, tools=tools_of(row), model=model) if completions else Calls()
    counted = metrics_of(row.metrics).all_ids
    if calls.last_try:
        records = [_record_of_call(call, row, trial) for call in calls.last_try]
        known = {call.response_id for call in (*calls.last_try, *calls.beside)}
        missing = tuple(each for each in counted if each not in known)
        return Told(records, "completions", missing, unreadable=calls.unreadable)
    dialogue = dialogue_of(row)
    missing = tuple(each for each in counted if each not in dialogue.response_ids)
    records = [*_records_of_dialogue(dialogue, row, trial)]
    return Told(records, "history", missing, dialogue.n_lost_answers, dialogue.n_condensed, calls.unreadable)


def write_records(path: Path, records: Sequence[Json]) -> str:
    """Write records as a trajectory; return the SHA-256 of the file in hex."""
    lines = b"".join(encode(record) + b"\n" for record in records)
    with open_atomic(path) as file:
        file.write(lines)
    return hashlib.sha256(lines).hexdigest()


def write_tool_calls(path: Path, row: OutputRow, completions: Path, trial: str) -> bool:
    """Write the calls of an instance in tool-call form where OpenHands mocked function calling; say whether it did."""
    calls = read_calls(completions, tools=tools_of(row), model=_model_of(row)).last_try
    if not any(call.is_mocked for call in calls):
        return False
    write_records(path, [_record_of_call(call, row, trial) for call in calls])
    return True


def _record_of_call(call: Completion, row: OutputRow, trial: str) -> Json:
    ended_at = datetime.fromtimestamp(call.at, UTC)
    body = {"model": call.request.get("model") or _model_of(row), "messages": call.messages}
    asked = {key: value for key, value in call.request.items() if key in _KEPT} | body
    known = usage_by_response(row.metrics).get(call.response_id or "")
    usage = known or call.response.get("usage") or {}
    record = _record(trial, asked, call.tools, call.response, usage | {"cost": call.cost_usd}, ended_at)
    return record | {"kept_by": "completions"}


def _records_of_dialogue(dialogue: Dialogue, row: OutputRow, trial: str) -> Iterator[Json]:
    usages, model = usage_by_response(row.metrics), _model_of(row)
    for turn in dialogue.turns:
        created = turn.response.get("created")
        ended_at = datetime.fromtimestamp(created, UTC) if isinstance(created, int | float) else None
        usage = usages.get(str(turn.response.get("id"))) or turn.response.get("usage") or {}
        asked = {"model": model, "messages": dialogue.messages[: turn.n_before]}
        record = _record(trial, asked, dialogue.tools, turn.response, usage | {"cost": None}, ended_at)
        yield record | {"kept_by": "history"}


# Of a caller's arguments what the proxy would have recorded.
_KEPT = frozenset(
    {"max_tokens", "max_completion_tokens", "temperature", "top_p", "top_k", "seed", "stop", "reasoning_effort"}
)


def _record(
    trial: str, asked: Json, tools: Sequence[Json], response: Json, usage: Json, ended_at: datetime | None
) -> Json:
    body = asked | ({"tools": list(tools)} if tools else {})
    digest = hashlib.sha256(encode([body, response.get("id")])).hexdigest()
    return {
        "schema_version": 1,
        "call_id": digest[:32],
        "attempt": 1,
        "dialect": "openai_chat",
        "trajectory_route": trial,
        "session_id": trial,
        "client_session_id": None,
        "success": True,
        "client_disconnected": False,
        "timestamp": ended_at.isoformat(timespec="milliseconds") if ended_at else None,
        "usage": usage,
        "request_body": body,
        "response_body": response,
    }


def _model_of(row: OutputRow) -> str | None:
    config = (row.metadata or {}).get("llm_config")
    model = config.get("model") if isinstance(config, dict) else None
    return model if isinstance(model, str) else None
