"""A job folder as Harbor leaves one, with the trials that are to be converted and no others.

The converter stops at the first trial whose files are not there, and takes the reward's bucket for the verdict. So it
is given a folder of its own: what is chosen, as it was rolled out, without what only the job's host had.
"""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
import tomli_w

from trajgen_assets.core import atomic
from trajgen_assets.core.capture.stored import content_sha256, opened, stored
from trajgen_assets.core.paths import JobPaths
from trajgen_assets.core.rollout.trials import TrialEntry
from trajgen_assets.core.sft.engine.converter import TERMINUS
from trajgen_assets.core.sft.filters import Refusal
from trajgen_assets.core.sft.placeholders import Placeholders
from trajgen_assets.core.sft.plan import Plan
from trajgen_assets.core.sft.reasons import Reason

TASKS = "tasks"  # beside the job folder, so that no trial can have its name


def record_fault(plan: Plan, trial: TrialEntry) -> Refusal | None:
    """Why the record of a trial cannot be given to the converter; None where it can."""
    path = plan.job.dir / str(trial.trajectory)
    if stored(path) is None:
        return Refusal(Reason.MISSING_TRAJECTORY)
    if trial.trajectory_sha256 not in (None, content_sha256(path)):
        return Refusal(Reason.TRAJECTORY_CHANGED)
    if plan.scaffold.name == TERMINUS and not terminus_record(plan.job, trial).is_file():
        return Refusal(Reason.MISSING_TRAJECTORY, "agent/trajectory.json, which swe_data_process reads")
    return None


def terminus_record(job: JobPaths, trial: TrialEntry) -> Path:
    """What Terminus-2 itself wrote of a trial."""
    return job.trial(str(trial.trial_name)) / "agent" / "trajectory.json"


def write_job_folder(plan: Plan, trials: Iterable[TrialEntry], folder: Path) -> Counter[str]:
    """Write the job folder of `trials` at `folder`, and their tasks beside it.

    Returns:
        How often each placeholder was put for what only the job's host had.
    """
    buckets: dict[str, list[str]] = {}
    counts: Counter[str] = Counter()
    for trial in trials:
        name = str(trial.trial_name)
        buckets.setdefault(str(float(trial.reward or 0)), []).append(name)
        task = folder.parent / TASKS / trial.task_id
        atomic.write_bytes(task / "task.toml", _task_toml(trial, plan.placeholders).encode())
        atomic.write_json(folder / name / "config.json", {"task": {"path": f"../../{TASKS}/{trial.task_id}"}})
        counts += _write_record(plan, trial, folder / name / "agent")
    atomic.write_json(folder / "result.json", {"stats": {"evals": {"job": {"reward_stats": {"reward": buckets}}}}})
    return counts


def _write_record(plan: Plan, trial: TrialEntry, agent: Path) -> Counter[str]:
    counts: Counter[str] = Counter()
    if plan.scaffold.name == TERMINUS:
        record = terminus_record(plan.job, trial).read_bytes()
        atomic.write_bytes(agent / "trajectory.json", _filled(record, plan.placeholders, counts))
        return counts
    with (
        opened(plan.job.dir / str(trial.trajectory)) as lines,
        atomic.open_atomic(agent / "litellm-trajectory.jsonl") as file,
    ):
        for line in lines:
            file.write(_filled(line, plan.placeholders, counts))
    return counts


def _filled(text: bytes, placeholders: Placeholders, counts: Counter[str]) -> bytes:
    """Return JSON with its placeholders; as it is where it has none, and where it is no JSON, which is the converter's
    to judge."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    before = counts.total()
    filled = placeholders.within(value, counts)
    return text if counts.total() == before else orjson.dumps(filled) + (b"\n" if text.endswith(b"\n") else b"")


def _task_toml(trial: TrialEntry, placeholders: Placeholders) -> str:
    return tomli_w.dumps({"metadata": _without_null(placeholders.within(trial.task.metadata, Counter()))})


def _without_null(value: Any) -> Any:
    """Return `value` without what TOML has no word for."""
    if isinstance(value, dict):
        return {name: _without_null(each) for name, each in value.items() if each is not None}
    if isinstance(value, list):
        return [_without_null(each) for each in value if each is not None]
    return value
