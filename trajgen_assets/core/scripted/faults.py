"""Ways in which a model endpoint fails, switched on for some of the next requests."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from threading import Lock

from pydantic import BaseModel, ConfigDict, Field

from trajgen_assets.core.scripted.script import unwrap


class Fault(StrEnum):
    """What goes wrong with a request."""

    NONE = "none"
    RATE_LIMIT = "rate_limit"
    SERVER_ERROR = "server_error"
    UNAUTHORIZED = "unauthorized"
    CONTEXT_LENGTH = "context_length"
    HANG = "hang"
    SLOW = "slow"
    CUT = "cut"


@dataclass(frozen=True)
class Refusal:
    """An error answer: HTTP status and the fields of its body."""

    status: int
    type: str
    code: str | None
    message: str


REFUSALS: Mapping[Fault, Refusal] = {
    Fault.RATE_LIMIT: Refusal(429, "rate_limit_error", "rate_limit_exceeded", "Rate limit reached, try again later."),
    Fault.SERVER_ERROR: Refusal(500, "server_error", None, "The server had an error while processing the request."),
    Fault.UNAUTHORIZED: Refusal(401, "invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    Fault.CONTEXT_LENGTH: Refusal(
        400,
        "invalid_request_error",
        "context_length_exceeded",
        "This model's maximum context length is 8192 tokens. Please reduce the length of the messages.",
    ),
}


class FaultPlan(BaseModel):
    """Which requests fail, and how.

    Attributes:
        fault: what happens to them.
        count: how many of the next requests it happens to; None for all until the plan is replaced.
        match: only requests in whose user messages this phrase occurs.
        delay_s: how long `slow` waits, and what `rate_limit` says in Retry-After.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    fault: Fault
    count: int | None = Field(default=None, ge=1)
    match: str | None = Field(default=None, min_length=1)
    delay_s: float = Field(default=1.0, ge=0)


class FaultSwitch:
    """Holds the current plan and counts it down. Any thread may call it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._plan = FaultPlan(fault=Fault.NONE)
        self._n_left: int | None = None

    def set(self, plan: FaultPlan) -> None:
        """Replace the plan."""
        with self._lock:
            self._plan, self._n_left = plan, plan.count

    def take(self, text: str) -> FaultPlan:
        """The plan for a request with this user text; a plan of `none` if it is spared."""
        with self._lock:
            plan = self._plan
            if self._n_left == 0 or (plan.match and unwrap(plan.match) not in unwrap(text)):
                return FaultPlan(fault=Fault.NONE)
            if self._n_left is not None:
                self._n_left -= 1
            return plan
