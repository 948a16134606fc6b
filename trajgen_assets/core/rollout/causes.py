"""Who or what ended a trial, as data.

The table follows Harbor 0.25.0's own error policy (`harbor.models.trial.error_policy`), in our words and
with the causes that Harbor cannot see: a stalled job, a budget of the job or the day, a capture with a gap, and a task
that nobody was to grade. Names that Harbor does not have are those of the OpenHands driver.
"""

from enum import StrEnum

from trajgen_assets.core.ledger.models import AttemptKind


class Cause(StrEnum):
    """Why an attempt gave no valid result. An attempt that was graded has none."""

    SANDBOX = "sandbox"
    MODEL_PROVIDER = "model_provider"
    HARNESS = "harness"
    VERIFIER = "verifier"
    AGENT_BUDGET = "agent_budget"
    AGENT_REFUSAL = "agent_refusal"
    CANCELLED = "cancelled"
    STALLED = "stalled"
    BUDGET = "budget"
    CAPTURE = "capture"
    UNGRADED = "ungraded"
    UNCLASSIFIED = "unclassified"


# The agent and its model ended the trial by themselves, so a reward that follows measures them.
GRADED_CAUSES = frozenset({Cause.AGENT_BUDGET, Cause.AGENT_REFUSAL})

# Tried again it would end the same way, for the same money.
FINAL_CAUSES = frozenset({Cause.UNGRADED})

# Not the agent's doing: never counted against `max_retries`, never shown as unsolved.
OUTSIDE_CAUSES = frozenset(
    {
        Cause.SANDBOX,
        Cause.MODEL_PROVIDER,
        Cause.HARNESS,
        Cause.VERIFIER,
        Cause.CANCELLED,
        Cause.STALLED,
        Cause.BUDGET,
        Cause.UNCLASSIFIED,
    }
)

_EXCEPTIONS: dict[Cause, tuple[str, ...]] = {
    Cause.SANDBOX: (
        "EnvironmentStartTimeoutError",
        "SandboxBuildFailedError",
        "AgentSetupTimeoutError",
        "HealthcheckError",
        "SandboxLikelyOutOfMemoryError",
        "MemoryLimitExceededError",
        "SSHAccessError",
        "GKEExecStreamClosedError",
        "GKEPodNotFoundError",
        "RuntimeRequestError",
        "AddTestsDirError",
        "DownloadVerifierDirError",
        "SandboxError",
        "CommandTimeoutError",
        "TransferError",
        "TaskChangedError",
        "ProxyUnreachableError",
        "AgentVersionError",
        "NetworkIsolationError",
        "UnfinishedWorkError",
    ),
    Cause.MODEL_PROVIDER: (
        "ApiError",
        "ApiRateLimitError",
        "ApiInternalServerError",
        "ApiOverloadedError",
        "ApiConnectionClosedError",
        "ApiResponseStalledError",
        "UnknownApiError",
        "NetworkConnectionError",
        "ApiConnectionError",
        "ApiUsageLimitError",
        "RateLimitError",
        "InternalServerError",
        "ServiceUnavailableError",
        "APIConnectionError",
        "APIError",
        "Timeout",
        "BadRequestError",
        "UnprocessableEntityError",
        "UnsupportedParamsError",
        "APIResponseValidationError",
        "BudgetExceededError",
        "AgentAuthenticationError",
        "ModelNotFoundError",
        "ApiProviderResourceNotFoundError",
        "AuthenticationError",
        "PermissionDeniedError",
        "NotFoundError",
    ),
    Cause.HARNESS: (
        "ServiceOperationsUnsupportedError",
        "VercelScopeError",
        "DspyImportError",
        "MissingExtraError",
        "RegradeError",
        "RunInferError",
    ),
    Cause.AGENT_BUDGET: (
        "AgentTimeoutError",
        "ContextWindowExceededError",
        "OutputTokenExceededError",
        "ContextLengthExceededError",
        "OutputLengthExceededError",
        "IterationLimitError",
        "AgentStuckError",
    ),
    Cause.AGENT_REFUSAL: ("AgentSafetyRefusalError", "ContentPolicyViolationError"),
    Cause.VERIFIER: (
        "VerifierTimeoutError",
        "RewardFileNotFoundError",
        "RewardFileEmptyError",
        "VerifierOutputParseError",
        "EvaluationError",
    ),
    Cause.UNGRADED: ("NotEvaluatedError",),
    Cause.CANCELLED: ("CancelledError", "JobStoppedError"),
}

_CAUSE_OF = {name: cause for cause, names in _EXCEPTIONS.items() for name in names}


def cause_of(exception_type: str) -> Cause:
    """The cause behind the name of an exception that Harbor recorded; `unclassified` for one it does not know."""
    return _CAUSE_OF.get(exception_type, Cause.UNCLASSIFIED)


def kind_of(cause: str) -> AttemptKind:
    """What an attempt that ended from `cause` counts as."""
    if cause in (Cause.CANCELLED, Cause.BUDGET):
        return AttemptKind.FREE
    if cause == Cause.CAPTURE:
        return AttemptKind.CAPTURE
    return AttemptKind.OUTSIDE if cause in OUTSIDE_CAUSES else AttemptKind.COUNTED
