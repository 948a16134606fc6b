"""Why something was left out: one word for each reason, the same in receipts, rejected rows and pages."""

from enum import StrEnum

from trajgen_assets.core.errors import ConversionError


class Reason(StrEnum):
    """Reasons for leaving out a whole trial, then for leaving out one conversation of a trial."""

    NOT_ACCEPTED = "not_accepted"
    INSTANCE_STATUS = "instance_status"
    EXCLUDED_REPO = "excluded_repo"
    RETIRED = "retired"
    REVOKED = "revoked"
    TASK_CHANGED = "task_changed"
    CAPTURE_UNKNOWN = "capture_unknown"
    CAPTURE_GAP = "capture_gap"
    CAPTURE_CUT = "capture_cut"
    NO_CHANGE = "no_change"
    MAX_INSTANCES = "max_instances"
    MISSING_TRAJECTORY = "missing_trajectory"
    TRAJECTORY_CHANGED = "trajectory_changed"
    BROKEN_LINE = "broken_line"
    MALFORMED_RECORD = "malformed_record"
    NO_SUCCESSFUL_RECORD = "no_successful_record"
    UNEXPECTED_ERROR = "unexpected_error"
    NO_ROW_KEPT = "no_row_kept"
    NOT_CONVERTED = "not_converted"  # swe_data_process wrote no row of it, and does not say why

    SIDE_CALL = "side_call"
    SUPERSEDED = "superseded"
    TOO_SHORT = "too_short"
    ROLE_ORDER = "role_order"
    TOOL_CALLS = "tool_calls"
    EMPTY_TURN = "empty_turn"
    FIRST_TURN = "first_turn"
    REASONING = "reasoning"
    GENERATION_CUT = "generation_cut"
    MIXED_TEACHER = "mixed_teacher"
    LEAK = "leak"
    NOT_LOADABLE = "not_loadable"
    OVER_LENGTH = "over_length"
    UNENCODABLE = "unencodable"
    DUPLICATE = "duplicate"

    ONE_PER_TASK = "one_per_task"  # of a data set of several jobs: another trial of the task is in it

    UNKNOWN = "unknown"  # of a trial or a row: a bar could not be evaluated


class TrialRejectedError(ConversionError):
    """A whole trial cannot become training data; `what` is its `Reason`, `why` the detail."""

    @property
    def reason(self) -> Reason:
        return Reason(self.what)

    @property
    def detail(self) -> str:
        return ": ".join(part for part in (self.where, self.why) if part)
