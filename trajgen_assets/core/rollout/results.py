"""Harbor's `result.json` of a trial, read leniently: Harbor's exit code says nothing about its trials.

Source: Harbor 0.25.0 job folders. A trial that was not graded has `verifier_result: null`, which is not 0.
"""

import json
import math
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trajgen_assets.core.errors import HarnessError
from trajgen_assets.core.rollout.causes import GRADED_CAUSES, Cause, cause_of

# asyncio's word for a step that outlived its event loop. Harbor's closes only as Harbor itself ends.
LOOP_IS_CLOSED = "Event loop is closed"


class _Lenient(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class ExceptionInfo(_Lenient):
    """What ended a trial before its time."""

    exception_type: str
    exception_message: str = ""

    @property
    def cause(self) -> Cause:
        """Who or what ended the trial, by the exception alone."""
        outlived = self.exception_type == "RuntimeError" and self.exception_message.strip() == LOOP_IS_CLOSED
        return Cause.CANCELLED if outlived else cause_of(self.exception_type)


class AgentResult(_Lenient):
    """The agent's own count of what it used."""

    n_input_tokens: int | None = None
    n_cache_tokens: int | None = None
    n_output_tokens: int | None = None
    cost_usd: float | None = None


class VerifierResult(_Lenient):
    """What the verifier wrote: named numbers, of which `reward` is the one that counts."""

    rewards: dict[str, Any] | None = None


class AgentInfo(_Lenient):
    """Name and version of the agent as it ran."""

    name: str = ""
    version: str = ""


class TaskRef(_Lenient):
    """Where the task lay when the trial ran."""

    path: Path | None = None


class TrialConfig(_Lenient):
    """The part of the trial's own configuration that says which task it was."""

    task: TaskRef = Field(default_factory=TaskRef)


class TrialResult(_Lenient):
    """One trial as Harbor recorded it when its sandbox was already stopped."""

    trial_name: str
    task_name: str = ""
    config: TrialConfig = Field(default_factory=TrialConfig)
    agent_info: AgentInfo = Field(default_factory=AgentInfo)
    agent_result: AgentResult | None = None
    verifier_result: VerifierResult | None = None
    exception_info: ExceptionInfo | None = None
    agent_execution: dict[str, Any] | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def task_id(self) -> str | None:
        """The full task id, from the task's folder: Harbor cuts it in the trial's name."""
        return self.config.task.path.name if self.config.task.path else None

    @property
    def duration_s(self) -> float | None:
        """Wall time from first to last phase, in seconds."""
        if self.started_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()

    @property
    def raw_reward(self) -> float | None:
        """The verifier's number, whether or not it measures the agent; None where it gave none."""
        rewards = (self.verifier_result.rewards if self.verifier_result else None) or {}
        value = rewards.get("reward") if "reward" in rewards else _only(rewards)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return None
        return float(value)

    @property
    def cause(self) -> Cause | None:
        """Why there is no valid reward; None for a graded trial."""
        if self.exception_info is None:
            return None if self.raw_reward is not None else Cause.VERIFIER
        cause = self.exception_info.cause
        if cause is Cause.UNCLASSIFIED and self.agent_execution is None:
            return Cause.SANDBOX  # a failed build is a bare RuntimeError, but the agent never began
        return None if cause in GRADED_CAUSES and self.raw_reward is not None else cause

    @property
    def reward(self) -> float | None:
        """The reward, where it measures the agent: never a 0 for a trial that something else ended."""
        return self.raw_reward if self.cause is None else None

    @property
    def note(self) -> str | None:
        """One line that says what Harbor saw, for people."""
        if self.exception_info is None:
            return None if self.raw_reward is not None else "the verifier gave no reward"
        told = _essence(self.exception_info.exception_message)
        return f"{self.exception_info.exception_type}: {told}".rstrip(": ")


def _essence(message: str) -> str:
    """The line that says what went wrong: the first, but of a failed compose command the last that it printed."""
    lines = [line.strip() for line in message.strip().splitlines() if line.strip()]
    if not lines:
        return ""
    if not lines[0].startswith("Docker compose command failed"):
        return lines[0]
    printed = message.split(". Stdout: ", 1)[-1].split(". Stderr: ", 1)
    errors = [part for part in reversed(printed) if part.strip(" .\n") not in ("", "None")]
    said = [line.strip() for line in errors[0].splitlines() if line.strip()] if errors else lines
    return said[-1].removesuffix(".")


def _only(rewards: dict[str, Any]) -> Any:
    return next(iter(rewards.values())) if len(rewards) == 1 else None


def task_id_of(trial_dir: Path) -> str | None:
    """The full task id of a trial that has begun, from its `config.json`; None where that cannot be read."""
    try:
        config = TrialConfig.model_validate_json((trial_dir / "config.json").read_bytes())
    except (OSError, ValueError):
        return None
    return config.task.path.name if config.task.path else None


def read_trial_result(trial_dir: Path) -> TrialResult | None:
    """The result of the trial in `trial_dir`; None when it has not ended (no `result.json`, or none finished yet).

    Raises:
        HarnessError: the file is there but is not a trial's result.
    """
    path = trial_dir / "result.json"
    try:
        raw = json.loads(path.read_bytes())
        result = TrialResult.model_validate(raw)
    except FileNotFoundError:
        return None
    except (ValueError, ValidationError) as error:
        raise HarnessError("a trial's result cannot be read", where=path, why=str(error).split("\n", 1)[0]) from error
    return result if result.finished_at is not None else None
