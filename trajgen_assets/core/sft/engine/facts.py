"""What the platform knows of a row beside what the converter wrote: where it is from, how long it is, what it shows."""

from dataclasses import dataclass

from trajgen_assets.core.rollout.trials import TrialEntry
from trajgen_assets.core.sft.engine.converter import Converter
from trajgen_assets.core.sft.im import think_mode, with_facts
from trajgen_assets.core.sft.leaks.flags import fix_flags, leaks_in
from trajgen_assets.core.sft.messages import Json
from trajgen_assets.core.sft.plan import Plan
from trajgen_assets.core.sft.score.story import story_of_row
from trajgen_assets.core.sft.tokens.length import Ruler, length_of
from trajgen_assets.core.sft.tool_errors import error_counts


@dataclass(frozen=True)
class Source:
    """Where a row is from: its job, its trial, its place among the trial's rows."""

    plan: Plan
    converter: Converter
    trial: TrialEntry
    ordinal: int


def with_platform_facts(row: Json, source: Source, ruler: Ruler | None) -> Json:
    """Return an IM row of the converter with the facts that the platform's own rows have in `unique_info`.

    Whatever the converter wrote stands, its score too. What only our converter could know of a conversation is null.
    """
    row = with_facts(row, _origin(row, source))
    turns = story_of_row(row)
    flags = fix_flags(source.trial.task.fix, source.plan.job.patch(str(source.trial.trial_name)))
    found: Json = {"leaks": [*leaks_in(row, turns), *flags], "n_left_out_messages": 0}
    counts = error_counts(turns, source.plan.scaffold.name)
    return with_facts(row, found | counts | length_of(row, ruler).facts)


def _origin(row: Json, source: Source) -> Json:
    job, trial, written = source.plan.trials, source.trial, row["meta_info"]["unique_info"]
    return {
        "_agent_type": written.get("_agent_type") or "main",
        "_score": written.get("_score"),
        "_instance_metadata": written.get("_instance_metadata") or {},
        "think_mode": think_mode(row["messages"]),
        "reward": trial.reward,
        "job": job.job,
        "trial": trial.trial_name,
        "conversation": source.ordinal,
        "scaffold": job.scaffold,
        "model": job.model,
        "capture": trial.capture,
        "task_digest": trial.task.digest,
        "trajectory_sha256": trial.trajectory_sha256,
        "n_unmatched_reasoning": None,
        "engine": source.converter.stated,
    }
