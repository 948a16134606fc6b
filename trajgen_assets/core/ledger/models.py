"""What the ledger says and is told: statuses, rows and requests, all frozen."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum

from trajgen_assets.core.keys import TaskKey


class TaskStatus(StrEnum):
    """Where a task stands. Every registered task is in exactly one of these."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"


class SkipKind(StrEnum):
    """Why a task is skipped. Only `revoked` undoes itself, when the id is listed again."""

    PERSON = "person"
    DUPLICATE = "duplicate"
    REVOKED = "revoked"


class AskedBy(StrEnum):
    """Who wants a job: it decides what becomes of it when its run is lost before it began."""

    SENSOR = "sensor"
    CLICK = "click"
    START = "start"


class JobState(StrEnum):
    """Where a job stands: `assigned` and `running` hold tasks, the others are over."""

    ASSIGNED = "assigned"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    REFUSED = "refused"

    @property
    def is_over(self) -> bool:
        return self not in (JobState.ASSIGNED, JobState.RUNNING)


class AttemptKind(StrEnum):
    """What an attempt counts as: a result, or one step towards a cap, or (`free`) towards none."""

    GRADED = "graded"
    COUNTED = "counted"
    OUTSIDE = "outside"
    CAPTURE = "capture"
    FREE = "free"


class CaptureVerdict(StrEnum):
    """Whether a trial's record holds every call that was admitted for it."""

    COMPLETE = "complete"
    CUT = "cut"
    GAP = "gap"


class BreakerState(StrEnum):
    """`closed` lets launches through, `open` holds them until a time, `probing` has let one through."""

    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"


@dataclass(frozen=True, slots=True)
class TaskRow:
    """One task under one campaign. Fields in the order of the table's columns.

    `position` grows with each registration and is never reused. `job` is the job that holds the task now,
    `last_job` the one of its last attempt. `changed_digest` is set when the source changed after the task
    had been rolled out.
    """

    position: int
    campaign: str
    dataset: str
    task_id: str
    digest: str | None
    changed_digest: str | None
    status: TaskStatus
    skip_kind: SkipKind | None
    note: str | None
    listed: bool
    eligible: bool
    ineligible_reason: str | None
    partitioned: bool
    imported: bool
    job: str | None
    last_job: str | None
    last_cause: str | None
    n_attempts: int
    n_counted: int
    n_infra: int
    n_capture: int
    reward: float | None
    trajectory_path: str | None
    memory_multiplier: float | None
    registered_at: datetime
    updated_at: datetime
    submitted_at: datetime | None
    completed_at: datetime | None

    @property
    def key(self) -> TaskKey:
        return TaskKey(self.campaign, self.dataset, self.task_id)


@dataclass(frozen=True, slots=True)
class JobRow:
    """One job. `launch` counts run requests, `fence` counts claims; both only grow."""

    name: str
    campaign: str
    dataset: str
    state: JobState
    launch: int
    run_id: str | None
    owner: str | None
    host: str | None
    fence: int
    lease_expires_at: datetime | None
    config_digest: str | None
    n_tasks: int
    assigned_at: datetime
    requested_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    note: str | None
    accepted_digest: str | None
    downstream_digest: str | None
    asked_by: AskedBy | None

    def is_overdue(self, now: datetime) -> bool:
        """Whether its lease ran out: a driver in good health would have renewed it, or ended the job, before `now`."""
        return self.lease_expires_at is not None and self.lease_expires_at < now


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One trial of one task. `task` is the task's position, `fence` the lease that it was recorded under."""

    attempt_id: int
    task: int
    job: str
    ordinal: int
    trial_name: str
    kind: AttemptKind
    cause: str | None
    reward: float | None
    capture: CaptureVerdict | None
    n_input_tokens: int | None
    n_output_tokens: int | None
    n_cache_tokens: int | None
    cost_usd: float | None
    started_at: datetime | None
    finished_at: datetime | None
    duration_s: float | None
    trajectory_path: str | None
    trajectory_sha256: str | None
    accepted: bool
    note: str | None
    fence: int
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Breaker:
    """The circuit breaker of one data set. `n_trips` counts since it was last closed."""

    dataset: str
    state: BreakerState
    cause: str | None
    opened_at: datetime | None
    until: datetime | None
    delay_s: float
    n_trips: int
    alerted_at: datetime | None

    def holds(self, now: datetime) -> bool:
        """Whether launches must wait at `now`: it is open, or a probe has not told its result in time."""
        return self.state is not BreakerState.CLOSED and self.until is not None and now < self.until

    @property
    def why(self) -> str:
        """Why launches pause. True of a job whose trials failed, and of one that was refused before any trial."""
        again = f" (pause {self.n_trips} in a row)" if self.n_trips > 1 else ""
        if self.cause == "budget":
            return f"the last job got no result for its whole budget{again}"
        return f"the last job found the {self.cause or 'outside'} not working{again}"


@dataclass(frozen=True, slots=True)
class StopRequest:
    """That a person wants a job to end: at once, or with `drain` when the trials that run have ended."""

    job: str
    drain: bool
    asked_by: str
    asked_at: datetime

    @property
    def words(self) -> str:
        """What becomes of the job, who asked for it and when."""
        doing = "draining" if self.drain else "stopping"
        return f"{doing} as {self.asked_by} asked at {self.asked_at:%H:%M:%S} UTC"


@dataclass(frozen=True, slots=True)
class Pause:
    """That a person wants no new job of a data set, or of any if `dataset` is empty, until it is lifted."""

    dataset: str
    paused_by: str
    paused_at: datetime
    reason: str

    @property
    def words(self) -> str:
        """Who paused what since when, and why."""
        what = f"launches of {self.dataset}" if self.dataset else "all launches"
        why = f": {self.reason}" if self.reason else ""
        return f"{what} are paused by {self.paused_by} since {self.paused_at:%Y-%m-%d %H:%M:%S} UTC{why}"

    @property
    def mend(self) -> str:
        """How a person lifts it."""
        return "`trajgen resume`" + (f" --dataset {self.dataset}" if self.dataset else "") + " lifts it"


@dataclass(frozen=True, slots=True)
class Removal:
    """That the trajectories of a job are not here any more; with no `finished_at` files of it may still be there."""

    job: str
    note: str
    begun_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """The manifest as last registered. `n_entries` counts distinct ids."""

    campaign: str
    dataset: str
    path: str
    sha256: str
    n_entries: int
    read_at: datetime


@dataclass(frozen=True, slots=True)
class ManifestSeen:
    """A manifest as just read: its path, the SHA-256 of its bytes, how many distinct ids it lists."""

    path: str
    sha256: str
    n_entries: int


@dataclass(frozen=True, slots=True)
class ListedTask:
    """One line of a manifest, and what its folder looks like. No digest means that there is nothing to digest."""

    task_id: str
    digest: str | None
    eligible: bool
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class RegisterResult:
    """What a registration changed, as task ids; `waiting` are all those listed now that cannot be rolled out yet."""

    new: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    revoked: tuple[str, ...] = ()
    returned: tuple[str, ...] = ()
    duplicates: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Batch:
    """Which tasks a new job asks for: the first `limit` that are free, or those named, less the excluded."""

    campaign: str
    dataset: str
    limit: int | None = None
    task_ids: Sequence[str] | None = None
    exclude: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class FreeTasks:
    """How many tasks a new job could take, and since when the first of them has waited."""

    n: int
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write for a job. A later claim of the job makes it worthless."""

    job: str
    owner: str
    fence: int
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How many attempts of each kind may be repeated before the task is failed."""

    max_retries: int = 0
    max_infra_retries: int = 3
    capture_retries: int = 1


@dataclass(frozen=True, slots=True)
class AttemptOutcome:
    """How one trial ended. `kind` graded means: the verifier gave `reward` and the files are on disk."""

    trial_name: str
    kind: AttemptKind
    cause: str | None = None
    reward: float | None = None
    capture: CaptureVerdict | None = None
    n_input_tokens: int | None = None
    n_output_tokens: int | None = None
    n_cache_tokens: int | None = None
    cost_usd: float | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    duration_s: float | None = None
    trajectory_path: str | None = None
    trajectory_sha256: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """Which tasks to show; None means any. `job` matches the tasks that were ever in that job."""

    campaign: str | None = None
    dataset: str | None = None
    status: TaskStatus | None = None
    cause: str | None = None
    job: str | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """How many tasks stand where. The first line adds up; the second are parts of it, shown apart.

    `waiting` and `assigned` are pending: without a usable folder, and bound to a job that has not started.
    """

    registered: int = 0
    pending: int = 0
    running: int = 0
    done: int = 0
    failed: int = 0
    skipped: int = 0

    waiting: int = 0
    assigned: int = 0
    revoked: int = 0
    duplicate: int = 0
    imported: int = 0
    changed: int = 0
    unlisted: int = 0

    @property
    def balanced(self) -> bool:
        return self.registered == self.pending + self.running + self.done + self.failed + self.skipped

    @property
    def assignable(self) -> int:
        """Pending tasks that the next job may take, unless a list excludes them."""
        return self.pending - self.waiting - self.assigned

    def __sub__(self, other: "Counts") -> "Counts":
        """What is left without the tasks of `other`, which are some of these."""
        return Counts(**{each.name: getattr(self, each.name) - getattr(other, each.name) for each in fields(self)})
