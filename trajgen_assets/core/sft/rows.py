"""The rows of one trial, each with its verdict. Nothing that is wrong with one trial leaves this module."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b

from trajgen_assets.core.rollout.trials import TrialEntry
from trajgen_assets.core.sft.answers import Answers, holds_instruction
from trajgen_assets.core.sft.encoding import UnencodableError, encode
from trajgen_assets.core.sft.filters import Refusal, first_refusal, row_filters
from trajgen_assets.core.sft.fitting import fitted, measured, n_left_out
from trajgen_assets.core.sft.im import Origin, im_row, with_facts
from trajgen_assets.core.sft.leaks.flags import fix_flags, leaks_in
from trajgen_assets.core.sft.messages import Json
from trajgen_assets.core.sft.plan import Plan
from trajgen_assets.core.sft.reasons import Reason, TrialRejectedError
from trajgen_assets.core.sft.scaffolds import Conversation
from trajgen_assets.core.sft.score.composite import scored
from trajgen_assets.core.sft.score.story import story_of_row
from trajgen_assets.core.sft.table import row_columns
from trajgen_assets.core.sft.tokens.length import ruler_of
from trajgen_assets.core.sft.tool_errors import UNCOUNTED, error_counts
from trajgen_assets.core.sft.trajectory import read_trajectory

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Row:
    """One conversation as it will be written, and the reason for leaving it out, if there is one.

    Rows of equal messages have one `key`. `columns` are what rows.parquet has from the row itself.
    """

    line: bytes
    key: bytes
    reason: Reason | None
    detail: str | None
    n_unmatched_reasoning: int
    n_joined_user_messages: int
    n_left_out_messages: int = 0
    columns: Json = field(default_factory=dict)
    n_placeholders: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class TrialRows:
    """What became of one trial: `reason` is None when at least one of its rows is kept."""

    reason: Reason | None
    detail: str | None = None
    rows: tuple[Row, ...] = ()


@dataclass(frozen=True)
class Evidence:
    """What is known of a trial beside its conversations."""

    answers: Answers
    fix_flags: list[Json]


def convert_trial(plan: Plan, trial: TrialEntry) -> TrialRows:
    """Return the rows of a trial, or why it has none."""
    try:
        rows = _rows(plan, trial)
    except TrialRejectedError as error:
        return TrialRows(error.reason, error.detail or None)
    except UnencodableError as error:
        return TrialRows(Reason.UNENCODABLE, str(error))
    # Only here: one trial must not stop the others. The receipt names what happened, and the next run tries again.
    except Exception as error:
        logger.warning("trial %s could not be converted", trial.trial_name, exc_info=True)
        return TrialRows(Reason.UNEXPECTED_ERROR, type(error).__name__)
    is_kept = any(row.reason is None for row in rows)
    return TrialRows(None if is_kept else Reason.NO_ROW_KEPT, rows=rows)


def without_duplicates(verdict: TrialRows, trial_name: str, seen: dict[bytes, str]) -> TrialRows:
    """Leave out rows whose messages an earlier kept row of the job has, and note the others in `seen`.

    Args:
        verdict: the rows of a trial.
        trial_name: its name.
        seen: key of each kept row to its trial and conversation.
    """
    rows: list[Row] = []
    for number, row in enumerate(verdict.rows):
        own = f"{trial_name}, conversation {number}"
        first = seen.setdefault(row.key, own) if row.reason is None else own
        rows.append(row if first == own else replace(row, reason=Reason.DUPLICATE, detail=f"of {first}"))
    is_lost = verdict.reason is None and all(row.reason for row in rows)
    return TrialRows(Reason.NO_ROW_KEPT if is_lost else verdict.reason, verdict.detail, tuple(rows))


def _rows(plan: Plan, trial: TrialEntry) -> tuple[Row, ...]:
    trajectory = read_trajectory(plan.job.dir / str(trial.trajectory), trial, plan.scaffold.side_call)
    origin = Origin(plan.trials, trial, trajectory.sha256, 0)
    meant = plan.scaffold.as_meant(trajectory)
    evidence = Evidence(meant.answers, fix_flags(trial.task.fix, plan.job.patch(str(trial.trial_name))))
    conversations = enumerate(plan.scaffold.conversations(meant))
    return tuple(_row(plan, each, replace(origin, ordinal=ordinal), evidence) for ordinal, each in conversations)


def _row(plan: Plan, conversation: Conversation, origin: Origin, evidence: Evidence) -> Row:
    row = im_row(conversation, origin, mask_error_turns=plan.settings.mask_error_turns)
    facts = evidence.answers.facts(conversation.messages)  # before placeholders, which change texts
    facts["has_instruction"] = _has_instruction(row, origin.trial)
    row, _, n_placeholders = plan.placeholders.filled(with_facts(row, facts))
    row, refusal = _judged(plan, conversation, row, evidence)
    line = encode(row)
    return Row(
        line=line,
        key=conversation_key(row),
        reason=refusal.reason if refusal else None,
        detail=refusal.detail if refusal else None,
        n_unmatched_reasoning=conversation.n_unmatched_reasoning,
        n_joined_user_messages=conversation.n_joined_user_messages,
        n_left_out_messages=n_left_out(row),
        columns=row_columns(row, len(line)),
        n_placeholders=n_placeholders,
    )


def _judged(plan: Plan, conversation: Conversation, row: Json, evidence: Evidence) -> tuple[Json, Refusal | None]:
    """Return a row with what is found in it, and why it is left out, if it is; only what is kept has a score."""
    turns = story_of_row(row)
    row = with_facts(row, {"leaks": [*leaks_in(row, turns), *evidence.fix_flags], **UNCOUNTED})
    refusal = _refusal(plan, conversation, row)
    if refusal is not None:
        return measured(row), refusal
    row, refusal = fitted(row, plan.settings, ruler_of(plan.tokenizer))
    if refusal is not None:
        return row, refusal
    turns = story_of_row(row) if n_left_out(row) else turns
    # What is scored has to be what is written, as `trajgen score` reads no more.
    return with_facts(scored(row, turns), error_counts(turns, plan.scaffold.name)), None


def conversation_key(row: Json) -> bytes:
    """Return what two IM rows have in common when their messages are equal, and else never."""
    return blake2b(encode(row["messages"]), digest_size=16).digest()


def _refusal(plan: Plan, conversation: Conversation, row: Json) -> Refusal | None:
    if conversation.reason is not None:
        return Refusal(conversation.reason, conversation.detail)
    return first_refusal(row_filters(plan.settings), row, unknown=plan.settings.unknown)


def _has_instruction(row: Json, trial: TrialEntry) -> bool | None:
    """Whether a row begins with its task; a subagent is told what its agent thinks fit, which counts as such."""
    is_main = row["meta_info"]["unique_info"]["_agent_type"] == "main"
    return holds_instruction(row["messages"], trial.task.instruction) if is_main else True
