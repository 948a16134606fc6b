"""What is retried, how often and for how long."""

from dataclasses import dataclass, field
from typing import Any, Optional, Tuple, Type

from retryline.backoff import Exponential


@dataclass(frozen=True)
class Policy:
    """The rules of one retrier. `deadline_s` counts from the start of the first attempt."""

    backoff: Any = field(default_factory=lambda: Exponential(0.5, cap_s=30.0))
    max_attempts: int = 5
    deadline_s: Optional[float] = None
    retry_on: Tuple[Type[BaseException], ...] = (Exception,)

    def __post_init__(self):
        if self.max_attempts < 1:
            raise ValueError("max_attempts must be at least 1")
        if self.deadline_s is not None and self.deadline_s <= 0:
            raise ValueError("deadline_s must be positive")

    def pause_after(self, attempt, error):
        """Seconds to wait after `attempt` failed with `error`."""
        wished = getattr(error, "retry_after_s", None) or 0.0
        return max(self.backoff.pause(attempt), wished)
