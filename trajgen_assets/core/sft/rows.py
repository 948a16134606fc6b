"""The rows of one trial, each with its verdict. Nothing that is wrong with one trial leaves this module."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from trajgen_assets.core.capture.stored import content_sha256
from trajgen_assets.core.rollout.trials import TrialEntry
from trajgen_assets.core.sft.encoding import UnencodableError, encode
from trajgen_assets.core.sft.filters import first_refusal, pairing_fault, row_filters
from trajgen_assets.core.sft.im import Origin, im_row, with_facts
from trajgen_assets.core.sft.leaks.flags import leaks_in
from trajgen_assets.core.sft.lf import check_lf_row, sharegpt_row
from trajgen_assets.core.sft.messages import Json
from trajgen_assets.core.sft.plan import Plan
from trajgen_assets.core.sft.reasons import Reason, TrialRejectedError
from trajgen_assets.core.sft.scaffolds import Conversation
from trajgen_assets.core.sft.score.composite import scored

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Row:
    """One conversation as it will be written, and the reason for leaving it out, if there is one."""

    line: bytes
    reason: Reason | None
    detail: str | None
    n_unmatched_reasoning: int
    n_joined_user_messages: int
    n_placeholders: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class TrialRows:
    """What became of one trial: `reason` is None when at least one of its rows is kept."""

    reason: Reason | None
    detail: str | None = None
    rows: tuple[Row, ...] = ()


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


def _rows(plan: Plan, trial: TrialEntry) -> tuple[Row, ...]:
    trajectory = plan.job.dir / str(trial.trajectory)
    digest = content_sha256(trajectory)
    if digest is None:
        raise TrialRejectedError(Reason.MISSING_TRAJECTORY)
    if trial.trajectory_sha256 not in (None, digest):
        raise TrialRejectedError(Reason.TRAJECTORY_CHANGED, why="its digest is not the recorded one")
    origin = Origin(plan.trials, trial, digest, 0)
    conversations = plan.scaffold.conversations(trajectory, trial)
    return tuple(_row(plan, each, replace(origin, ordinal=ordinal)) for ordinal, each in enumerate(conversations))


def _row(plan: Plan, conversation: Conversation, origin: Origin) -> Row:
    row, _, n_placeholders = plan.placeholders.filled(
        im_row(conversation, origin, mask_error_turns=plan.settings.mask_error_turns)
    )
    row = with_facts(row, {"leaks": leaks_in(row)})
    reason = conversation.reason or first_refusal(row_filters(plan.settings), row)
    if reason is None:  # only now, as what is scored has to be what is written: `trajgen score` reads no more than that
        row = scored(row)
    return Row(
        line=encode(row),
        reason=reason,
        detail=conversation.detail or _detail(reason, row),
        n_unmatched_reasoning=conversation.n_unmatched_reasoning,
        n_joined_user_messages=conversation.n_joined_user_messages,
        n_placeholders=n_placeholders,
    )


def _detail(reason: Reason | None, row: Json) -> str | None:
    if reason is Reason.LEAK:
        first = row["meta_info"]["unique_info"]["leaks"][0]
        return f"{first['leak']}, turn {first['turn']}: {first['quote']}"
    if reason is Reason.TOOL_CALLS:
        return pairing_fault(row["messages"])
    return check_lf_row(sharegpt_row(row)) if reason is Reason.NOT_LOADABLE else None
