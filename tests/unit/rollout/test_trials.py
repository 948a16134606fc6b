import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from trajgen_assets.core.errors import ConversionError
from trajgen_assets.core.rollout.trials import (
    AgentRecord,
    TaskRecord,
    TrialEntry,
    TrialsFile,
    load_trials,
    write_trials,
)

TASK = TaskRecord(digest="d", instruction="i", metadata={})


def entry(**changes: Any) -> TrialEntry:
    fields: dict[str, Any] = {
        "task_id": "a",
        "task_key": "set/a",
        "trial_name": "a__x",
        "attempt": 1,
        "accepted": True,
        "status": "done",
        "reward": 0.0,
        "trajectory": "a__x/agent/litellm-trajectory.jsonl",
        "task": TASK,
    }
    return TrialEntry(**(fields | changes))


def file_of(*entries: TrialEntry) -> TrialsFile:
    agent = AgentRecord(name="terminus-2")
    return TrialsFile(
        job="j", dataset="set", campaign="main", scaffold="terminus2", agent=agent, model="openai/m", trials=entries
    )


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=r"no trials\.json"):
        load_trials(tmp_path / "trials.json")


@pytest.mark.parametrize(
    "change", [{"schema_version": 2}, {"surplus": 1}, {"trials": [{}]}, {"model": None}, {"job": 7}]
)
def test_a_file_that_is_not_quite_ours_is_refused_with_its_place(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "trials.json"
    path.write_text(json.dumps(file_of(entry()).model_dump(mode="json") | change))
    with pytest.raises(ConversionError, match=next(iter(change))):
        load_trials(path)


@pytest.mark.parametrize(
    "change",
    [
        {"reward": None},
        {"reward": float("nan")},
        {"trajectory": None},
        {"trajectory": "../other/t.jsonl"},
        {"trajectory": "/etc/passwd"},
        {"trial_name": None},
        {"status": "failed"},
        {"attempt": 0},
        {"started_at": datetime(2025, 1, 1)},  # noqa: DTZ001 - the point is that it is naive
    ],
)
def test_an_entry_that_says_what_cannot_be_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        entry(**change)


def test_two_entries_cannot_share_a_trial() -> None:
    with pytest.raises(ValidationError, match="share one trial name"):
        file_of(entry(), entry(task_id="b"))


def test_what_is_written_is_read_back_equal(tmp_path: Path) -> None:
    pending = entry(trial_name=None, accepted=False, status="pending", reward=None, trajectory=None)
    whole = file_of(entry(started_at=datetime(2025, 1, 1, tzinfo=UTC), cost_usd=0.5), pending)
    write_trials(tmp_path / "trials.json", whole)
    assert load_trials(tmp_path / "trials.json") == whole


def test_metadata_from_toml_is_kept_in_types_that_json_has(tmp_path: Path) -> None:
    metadata: Any = {"day": date(2025, 1, 2), "at": [datetime(2025, 1, 2, tzinfo=UTC)], "limit": float("inf"), "n": 3}
    whole = file_of(entry(task=TaskRecord(digest="d", instruction="", metadata=metadata)))
    write_trials(tmp_path / "trials.json", whole)
    read = load_trials(tmp_path / "trials.json").trials[0].task.metadata
    assert read == {"day": "2025-01-02", "at": ["2025-01-02T00:00:00+00:00"], "limit": "inf", "n": 3}
