"""The page with two trajectories of one task side by side. It loads the data of the trials' own pages."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from trajgen_assets.core.dashboard import places
from trajgen_assets.core.dashboard.facts.scene import Attempt
from trajgen_assets.core.dashboard.render import SiteFile, page


@dataclass(frozen=True)
class SidePage:
    """What the page of a task is made from: its attempts that have a trajectory, two at least."""

    task_key: str
    attempts: Sequence[Attempt]

    @property
    def inputs(self) -> str:
        """A digest of all that the page shows."""
        return hashlib.sha256(repr(self).encode("utf-8", "backslashreplace")).hexdigest()

    def make(self) -> Iterator[SiteFile]:
        """Yield the page."""
        sources = [
            {"data": places.trial_data(each.job, each.trial), "page": places.trial_page(each.job, each.trial)}
            for each in self.attempts
        ]
        yield page(
            "side.html",
            places.side_page(self.task_key),
            section=places.TASKS,
            task_key=self.task_key,
            attempts=self.attempts,
            sources=sources,
        )
