"""How long to pause after the n-th failure."""

from dataclasses import dataclass
from typing import Optional


@dataclass(frozen=True)
class Constant:
    """The same pause each time."""

    pause_s: float

    def pause(self, attempt):
        return self.pause_s


@dataclass(frozen=True)
class Exponential:
    """A pause that is multiplied by `factor` after each failure, up to `cap_s`."""

    first_s: float
    factor: float = 2.0
    cap_s: Optional[float] = None

    def pause(self, attempt):
        """Pause after the failure of `attempt`, which counts from 1."""
        pause_s = self.first_s * self.factor ** (attempt - 1)
        return pause_s if self.cap_s is None else min(pause_s, self.cap_s)
