"""How a trial ended, from what lies on disk: its row, what its process ended with, and the verdict on its patch.

The driver asks this when a process has ended, and recovery asks it again of a job that was killed.
"""

from dataclasses import dataclass

from trajgen_assets.core.errors import HarnessError
from trajgen_assets.core.openhands.evaluation import Evaluation, EvaluationClass
from trajgen_assets.core.openhands.rows import (
    OutputRow,
    RowClass,
    RowVerdict,
    read_output,
    repair,
)
from trajgen_assets.core.openhands.trial import Ending, Trial
from trajgen_assets.core.rollout.causes import Cause

TIMEOUT = "AgentTimeoutError"
NO_ROW = "RunInferError"
NO_VERDICT = "EvaluationError"
NOT_EVALUATED = "NotEvaluatedError"
STOPPED = "JobStoppedError"
CANCELLED = "CancelledError"
CHANGED = "TaskChangedError"

# Who or what a row blames, as an exception by which `causes.py` finds the same again.
_ERRORS = {
    Cause.SANDBOX: "SandboxError",
    Cause.MODEL_PROVIDER: "ApiError",
    Cause.HARNESS: NO_ROW,
    Cause.VERIFIER: NO_VERDICT,
    Cause.AGENT_BUDGET: TIMEOUT,
    Cause.AGENT_REFUSAL: "ContentPolicyViolationError",
}
_UNKNOWN = "RowError"

# These rows are evaluated as any other. A reward says what the agent had done by then; the error says why it stopped.
_LIMITS = {RowClass.ITERATION_LIMIT: "IterationLimitError", RowClass.STUCK: "AgentStuckError"}


@dataclass(frozen=True)
class Worked:
    """What the work on a task left.

    Attributes:
        row: None if there is none of it.
        why: what the file holds instead, in words; empty for nothing.
    """

    row: OutputRow | None
    why: str = ""


def work_of(trial: Trial) -> Worked:
    """Read the row of a trial, after its last line was repaired. Its process has ended."""
    output = trial.run.output
    if not output.exists():
        return Worked(None)
    try:
        repair(output)
        found = read_output(output)
    except (OSError, HarnessError) as error:
        return Worked(None, f"its row cannot be read: {error}")
    row = next((each for each in found.rows if each.instance_id == trial.task_id), None)
    torn = output.with_name(f"{output.name}.torn")
    faults = [f"line {each.line} is no row of it ({each.why})" for each in found.aside]
    faults += [f"its row was cut off, see {torn.name}"] if torn.exists() else []
    return Worked(row, "; ".join(faults))


def without_row(worked: Worked, *, code: int, last_words: str, timeout_s: float | None = None) -> Ending:
    """The end of a trial whose process left no row.

    Args:
        code: what the process ended with; a 0 says nothing.
        timeout_s: our own limit, if the process was ended by it.
    """
    if timeout_s is not None:
        return Ending((TIMEOUT, f"run_infer was ended after {timeout_s:g} s, and had written no row"))
    said = worked.why or (f"its last line: {last_words}" if last_words else "it said nothing")
    return Ending((NO_ROW, f"run_infer ended with exit code {code} and left no row; {said}"))


def with_fault(row: OutputRow, verdict: RowVerdict) -> Ending:
    """The end of a trial whose row is no finished work: of an error or a timeout, or with nothing in it."""
    name = _ERRORS.get(verdict.cause, _UNKNOWN) if verdict.cause else _UNKNOWN
    return Ending((name, verdict.note or f"its row is of the class {verdict.row_class}"), row, verdict.row_class.value)


def evaluated(row: OutputRow, verdict: RowVerdict, evaluation: Evaluation) -> Ending:
    """The end of a trial whose patch was evaluated. Without a reward it is the evaluator's doing, and no 0."""
    limit = _LIMITS.get(verdict.row_class)
    if evaluation.reward is not None:
        error = (limit, verdict.note or "") if limit else None
    elif evaluation.found is EvaluationClass.NOT_EVALUATED:
        error = (NOT_EVALUATED, "no evaluator is set (openhands.evaluator); its trajectory is kept")
    else:
        error = (NO_VERDICT, f"{evaluation.found}: {evaluation.why}")
    return Ending(error, row, verdict.row_class.value, evaluation)
