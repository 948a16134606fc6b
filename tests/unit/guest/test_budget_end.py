"""An agent that fails after a refusal for its trial's own budget has ended; any other failure stays one."""

import json
from pathlib import Path

import pytest
from budget_end import ended_by_budget

TRIAL = "task__aB3dE5f"


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRAJGEN_PROXY_DIR", str(tmp_path))
    (tmp_path / "over_budget").mkdir()
    return tmp_path / "over_budget"


def fail(trial: str) -> None:
    with ended_by_budget(trial):
        raise RuntimeError("401: refused")


def test_an_agent_that_used_up_its_trial_s_budget_has_ended(notes: Path) -> None:
    (notes / TRIAL).write_text(json.dumps({"scope": "trial", "text": "the trial's budget of 5 tokens is used up"}))
    fail(TRIAL)


@pytest.mark.parametrize("scope", ["job", "day"])
def test_an_agent_that_others_left_nothing_has_failed(notes: Path, scope: str) -> None:
    (notes / TRIAL).write_text(json.dumps({"scope": scope, "text": "…"}))
    with pytest.raises(RuntimeError, match="401"):
        fail(TRIAL)


def test_an_agent_that_was_refused_nothing_has_failed(notes: Path) -> None:
    (notes / "another__aB3dE5f").write_text(json.dumps({"scope": "trial", "text": "…"}))
    with pytest.raises(RuntimeError, match="401"):
        fail(TRIAL)


def test_where_no_proxy_is_known_an_agent_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRAJGEN_PROXY_DIR", raising=False)
    with pytest.raises(RuntimeError, match="401"):
        fail(TRIAL)
