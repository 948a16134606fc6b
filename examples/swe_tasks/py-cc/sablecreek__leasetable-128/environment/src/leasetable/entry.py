"""One entry of the table."""

from dataclasses import dataclass
from typing import Any, Optional


class TooHeavyError(ValueError):
    """An entry that weighs more than the whole table may hold."""


@dataclass(frozen=True)
class Entry:
    """A value with its weight, and the moment at which it leaves (None: never)."""

    value: Any
    weight: int
    expires_at: Optional[float]
    serial: int

    def is_expired(self, now_s):
        return self.expires_at is not None and now_s >= self.expires_at
