"""Why a trial or a row was left out of training data, in a sentence for people."""

from trajgen_assets.core.sft.reasons import Reason

MEANS = {
    Reason.NOT_ACCEPTED: "the trial gave no valid result",
    Reason.INSTANCE_STATUS: "its reward is not one that is asked for",
    Reason.EXCLUDED_REPO: "its repository is excluded",
    Reason.RETIRED: "its task was retired",
    Reason.REVOKED: "its task is listed no more",
    Reason.TASK_CHANGED: "its task is another one now",
    Reason.CAPTURE_UNKNOWN: "nobody knows whether the record of its calls is complete",
    Reason.CAPTURE_GAP: "the record of its calls has a gap",
    Reason.CAPTURE_CUT: "the record of its calls was cut off",
    Reason.NO_CHANGE: "it counts as resolved, and changed nothing",
    Reason.MAX_INSTANCES: "as many trials as were asked for had been kept before",
    Reason.MISSING_TRAJECTORY: "its trajectory is not there",
    Reason.TRAJECTORY_CHANGED: "its trajectory is not the one that was recorded",
    Reason.BROKEN_LINE: "a line of its trajectory cannot be read",
    Reason.MALFORMED_RECORD: "a record of a call does not have the shape of one",
    Reason.NO_SUCCESSFUL_RECORD: "no call was answered",
    Reason.UNEXPECTED_ERROR: "the converter failed; the next conversion tries again",
    Reason.NO_ROW_KEPT: "each of its conversations was left out",
    Reason.SIDE_CALL: "it is no part of the agent's work",
    Reason.SUPERSEDED: "the agent went on with another answer",
    Reason.TOO_SHORT: "there is too little of it",
    Reason.ROLE_ORDER: "its messages do not alternate",
    Reason.NOT_CONVERTED: "swe_data_process made no row of it, and does not say why",
    Reason.TOOL_CALLS: "a call and its result do not match",
    Reason.FIRST_TURN: "it does not begin with its task",
    Reason.REASONING: "it shows too little of the model's reasoning",
    Reason.EMPTY_TURN: "a turn of the model says, thinks and calls nothing",
    Reason.GENERATION_CUT: "an answer was cut off",
    Reason.MIXED_TEACHER: "several models answered",
    Reason.LEAK: "there is a sign that the solution was seen or the verdict touched",
    Reason.OVER_LENGTH: "it is longer than a trainer takes",
    Reason.NOT_LOADABLE: "LLaMA-Factory would pass over it",
    Reason.UNENCODABLE: "it holds what has no JSON form",
    Reason.DUPLICATE: "an earlier row has the same messages",
    Reason.ONE_PER_TASK: "another trial of its task is in the data set",
    Reason.UNKNOWN: "a filter could not be evaluated",
}


def meaning(reason: str) -> str:
    """What a reason of a receipt means; of one that this version does not know, its own word."""
    return next((words for known, words in MEANS.items() if known == reason), reason.replace("_", " "))
