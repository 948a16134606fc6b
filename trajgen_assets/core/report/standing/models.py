"""Where an installation stands, as values: what is shown, and what stands in `status.yaml`."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from trajgen_assets.core.counting import count_of
from trajgen_assets.core.ledger.models import Counts

SCHEMA_VERSION = 1

_COUNTED = ("registered", "pending", "running", "done", "failed", "skipped", "waiting", "assigned")


class Phase(StrEnum):
    """What goes on, in one word."""

    BLOCKED = "blocked"
    ROLLING_OUT = "rolling out"
    STARTING = "starting"
    PAUSED = "paused"
    READY = "ready"
    IDLE = "idle"


class Severity(StrEnum):
    """An `error` needs a person; a `warning` mends itself, or is worth a look."""

    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Blocker:
    """What is in the way, and how to mend it."""

    severity: Severity
    what: str
    mend: str

    @property
    def line(self) -> str:
        return f"{self.severity}: {self.what}. Mend: {self.mend}"


@dataclass(frozen=True)
class JobStanding:
    """A job that is not over.

    Attributes:
        n_ended: how many of its trials have ended.
        is_lost: whether nothing drives it any more.
        ending: that it is stopping or draining, who asked for it and when; None if nobody has.
    """

    job: str
    dataset: str
    campaign: str
    state: str
    n_tasks: int
    n_ended: int
    is_lost: bool
    ending: str | None = None

    @property
    def words(self) -> str:
        """How it is with the job, for people."""
        if self.is_lost:
            return "its driver has died"
        return f"{self.ending or self.state}, {self.n_ended} of {count_of(self.n_tasks, 'trial')} ended"


@dataclass(frozen=True)
class Standing:
    """One look at an installation.

    Attributes:
        counts: of all campaigns but `smoke`, which says nothing about how far the data is.
        smoke: of campaign `smoke`.
        n_free: tasks that a job could take now, over all data sets and campaigns that are configured.
        n_excluded: tasks that would be free if no list of excluded tasks named them.
        jobs: those that are not over.
        is_misconfigured: whether the configuration, or a list of exclusions that it names, cannot be used.
    """

    phase: Phase
    counts: Counts
    smoke: Counts
    n_free: int
    n_excluded: int
    jobs: tuple[JobStanding, ...]
    blockers: tuple[Blocker, ...]
    next_steps: tuple[str, ...]
    is_misconfigured: bool

    @property
    def is_blocked(self) -> bool:
        """Whether a person has to do something."""
        return any(each.severity is Severity.ERROR for each in self.blockers)

    def as_dict(self) -> dict[str, Any]:
        """As `status.yaml` and `trajgen status --json` have it, without the time."""
        tasks = {name: getattr(self.counts, name) for name in _COUNTED}
        return {
            "schema_version": SCHEMA_VERSION,
            "phase": self.phase.value,
            "progress": {
                "tasks": {**tasks, "free": self.n_free, "excluded": self.n_excluded},
                "jobs": [asdict(job) for job in self.jobs],
            },
            "blockers": [{**asdict(each), "severity": each.severity.value} for each in self.blockers],
            "next_steps": list(self.next_steps),
        }
