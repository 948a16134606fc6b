"""The last successful call of a record as a dialogue."""

import json
from pathlib import Path
from typing import Any


def last_call(folder: Path) -> list[dict[str, Any]]:
    """The messages of the last call that did not fail, and its answer."""
    lines = (folder / "agent" / "litellm-trajectory.jsonl").read_text().splitlines()
    records = [record for record in map(json.loads, lines) if record.get("success") is not False]
    answer = records[-1]["response_body"]["choices"][0]["message"]
    return [_turn(message) for message in [*records[-1]["request_body"]["messages"], answer]]


def _turn(message: dict[str, Any]) -> dict[str, Any]:
    turn = {"role": message["role"], "content": message["content"]}
    thoughts = {"reasoning_content": message.get("reasoning_content") or ""}
    return turn | (thoughts if message["role"] == "assistant" else {})
