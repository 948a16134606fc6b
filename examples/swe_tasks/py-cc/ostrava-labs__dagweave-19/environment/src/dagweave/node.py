"""The nodes of a graph."""

from dataclasses import dataclass, field
from typing import Any, Callable, List, Optional


@dataclass
class Node:
    """A source (no function) or a step.

    `changed_at` is the revision at which the value last became a different one,
    `checked_at` the one at which it was last known to be right.
    """

    name: str
    inputs: List[str] = field(default_factory=list)
    function: Optional[Callable] = None
    value: Any = None
    changed_at: int = 0
    checked_at: int = 0
    n_runs: int = 0

    @property
    def is_source(self):
        return self.function is None
