"""The page of one trial, with the data that its script loads."""

import hashlib
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from trajgen_assets.core.capture.stored import stored
from trajgen_assets.core.dashboard import places
from trajgen_assets.core.dashboard.facts.models import JobFacts, Trial
from trajgen_assets.core.dashboard.facts.rows import RowsOfJob
from trajgen_assets.core.dashboard.facts.scene import Attempt
from trajgen_assets.core.dashboard.facts.scoring import score_parts
from trajgen_assets.core.dashboard.render import SiteFile, page
from trajgen_assets.core.dashboard.trajectory.diff import diff_lines
from trajgen_assets.core.dashboard.trajectory.evidence import read_evidence
from trajgen_assets.core.dashboard.trajectory.model import Entry, Kind, Opening
from trajgen_assets.core.dashboard.trajectory.reading import Reader
from trajgen_assets.core.dashboard.trajectory.shards import Limits, Shards
from trajgen_assets.core.dashboard.trajectory.totals import Totals
from trajgen_assets.core.dashboard.trajectory.verdict import fates, leaks_of, standing
from trajgen_assets.core.paths import JobPaths
from trajgen_assets.core.rollout.trials import is_removed


@dataclass(frozen=True)
class TrialPage:
    """What the page of a trial is made from.

    Attributes:
        rows: those of the job.
        attempts: all attempts at the task, this one among them, in their order.
    """

    files: JobPaths
    job: JobFacts
    trial: Trial
    rows: RowsOfJob
    attempts: Sequence[Attempt]
    limits: Limits

    @property
    def inputs(self) -> str:
        """A digest of all that the page shows."""
        shown = [self.files.dir / self.trial.name / "result.json", self.files.patch_record(self.trial.name)]
        stamps = [(path.stat().st_mtime_ns, path.stat().st_size) for path in shown if path.exists()]
        told = repr(
            (
                self.trial,
                self._has_trajectory,
                self.job.scaffold,
                self.rows.signature,
                self.attempts,
                stamps,
                self.limits,
            )
        )
        return hashlib.sha256(told.encode("utf-8", "backslashreplace")).hexdigest()

    def make(self) -> Iterator[SiteFile]:
        """Yield the files, the page last."""
        reader, totals = Reader(self.job.scaffold or ""), Totals()
        shards = Shards(places.trial_data(self.trial.job, self.trial.name), self.limits)
        yield from shards.turns(totals.counting(self._entries(reader)))
        found = fates(reader.openings, totals, reader.row_numbers(), self.rows.of(self.trial.name))
        yield from shards.head(reader.openings, leaks_of(found))
        evidence = read_evidence(self.files, self.trial.name, self.limits.file)
        yield page(
            "trajectory.html",
            places.trial_page(self.trial.job, self.trial.name),
            section=places.JOBS,
            job=self.job,
            trial=self.trial,
            command=f"trajgen explain {shlex.quote(self.trial.task_key)}",  # pasted into a shell it is one word
            attempts=[each for each in self.attempts if each.has_trajectory],
            problems=[*evidence.problems, *filter(None, [self.rows.problem])],
            score_parts=score_parts(),
            evidence=evidence,
            diff=diff_lines(evidence.diff.head) if evidence.diff else (),
            fates=found,
            totals=totals,
            main=main_of(reader.openings),
            standing=standing(self.job, self.trial),
            has_trajectory=self._has_trajectory,
            is_removed=is_removed(self.files),
        )

    @property
    def _has_trajectory(self) -> bool:
        return stored(self.files.trajectory(self.trial.name)) is not None

    def _entries(self, reader: Reader) -> Iterable[Entry]:
        return reader.entries(self.files.trajectory(self.trial.name)) if self._has_trajectory else ()


def main_of(openings: Iterable[Opening]) -> int:
    """The conversation that is shown first: that of the agent itself, where there is one."""
    return next((each.conversation for each in openings if each.kind is Kind.MAIN), 1)
