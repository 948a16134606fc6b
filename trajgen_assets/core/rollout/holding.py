"""A job in somebody's hands: refused before it is claimed, claimed, and released as it ended."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from trajgen_assets.core.clock import stamp
from trajgen_assets.core.errors import (
    BusyError,
    ConfigError,
    ConversionError,
    EndpointError,
    LedgerError,
    ProxyError,
    RequirementError,
    ShortageError,
    StoppedError,
    TrajgenError,
)
from trajgen_assets.core.exit_codes import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, EXIT_REFUSED
from trajgen_assets.core.faults import reached
from trajgen_assets.core.ledger.models import AskedBy, BreakerState, JobRow, JobState, Lease
from trajgen_assets.core.ledger.place import is_shared
from trajgen_assets.core.ledger.view import PublishedView
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.preflight.findings import Subject
from trajgen_assets.core.preflight.run import refuse_unless_all_pass
from trajgen_assets.core.provision.on_demand import short_name
from trajgen_assets.core.redact import Redactor
from trajgen_assets.core.report.archive import ArchiveEntry, Status
from trajgen_assets.core.rollout.causes import OUTSIDE_CAUSES, Cause
from trajgen_assets.core.rollout.harness import Harness, Workplace
from trajgen_assets.core.rollout.record import Listener
from trajgen_assets.core.rollout.trial_slots import sight

# From the claim to the start of the harness: staging, the proxy, one reply of the model. Then progress renews it.
CLAIM_TTL_S = 1800.0


def refuse_unless_assigned(platform: Platform, job_name: str) -> JobRow:
    """The job, if it waits to be begun.

    Dagster retries runs that died; what the first one left is recovery's.

    Raises:
        BusyError: another run has begun it, or it is over.
    """
    job = platform.ledger.job(job_name)
    if job.state is not JobState.ASSIGNED:
        mend = "nothing: its unfinished tasks come with a later job"
        raise BusyError("this job does not wait to be begun", where=job_name, why=f"it is {job.state}", mend=mend)
    return job


def refuse_unless_ready(
    platform: Platform, job_name: str, harness: Harness, entry: ArchiveEntry, listener: Listener
) -> Workplace:
    """Build what is missing of the job's environments, make the quick checks of the preflight, and find the agent.

    When one of these fails, the job is withdrawn, so that its tasks are free again.
    """
    job = platform.ledger.job(job_name)
    try:
        listener.phase("checking what the job needs")
        environments = harness.environments(platform.config, platform.root.env, listener.phase)
        check_job(platform, job.campaign, job.n_tasks)
        workplace = harness.workplace(platform, job, environments, listener.phase)
        made = {short_name(each.name): each.path for each in environments}
        entry.runs_in(made, workplace.runtime.made if workplace.runtime else None)
        listener.environments_ready(environments)
    except TrajgenError as error:
        entry.status, entry.exit_code, entry.notes = "refused", EXIT_REFUSED, Redactor.of(platform.config).error(error)
        platform.ledger.withdraw(job_name, note=entry.notes)
        entry.outage = _trip(platform, job, error)
        raise
    except BaseException:
        platform.ledger.withdraw(job_name, note="ended before it was claimed")
        raise
    return workplace


def claim(platform: Platform, job_name: str, owner: str, entry: ArchiveEntry) -> Lease:
    """Take the lease; a job that is somebody else's, or over, is none of this run's history."""
    reached("before_claim")
    try:
        # The file of a ledger is one host's, whatever that is called after its next start.
        host = sight() if is_shared(platform.root) else None
        return platform.ledger.claim(job_name, owner, ttl_s=CLAIM_TTL_S, host=host)
    except TrajgenError:
        entry.is_kept = False
        raise


@contextmanager
def released(platform: Platform, lease: Lease, entry: ArchiveEntry) -> Iterator[None]:
    """Release the lease on the way out, in the state that tells how the job ended, and then say so in the archive."""
    ledger, job = platform.ledger, platform.ledger.job(lease.job)
    ending: _Ending | None = _Ending(JobState.FAILED, "failed", EXIT_FAILED)
    try:
        yield
        ending = _Ending(JobState.FINISHED, "completed", EXIT_OK)
        _judge_outage(platform, job.name, job.dataset, entry)
    except (LedgerError, BusyError) as error:
        # What ended may not be on record: the job stays as it is, and recovery settles it from disk.
        ending, entry.notes = None, Redactor.of(platform.config).error(error)
        raise
    except StoppedError as error:
        ending = _Ending(JobState.INTERRUPTED, "interrupted", EXIT_INTERRUPTED)
        entry.notes = Redactor.of(platform.config).error(error)
        raise
    except TrajgenError as error:
        entry.notes = Redactor.of(platform.config).error(error)
        if "n_trials" not in entry.facts:
            ending = _Ending(JobState.REFUSED, "refused", EXIT_REFUSED)
        if not entry.facts.get("n_trials") or isinstance(error, EndpointError | ProxyError | RequirementError):
            entry.outage = _trip(platform, job, error)
        raise
    except Exception as error:
        entry.notes = Redactor.of(platform.config).error(error)
        raise
    except BaseException:
        ending = _Ending(JobState.INTERRUPTED, "interrupted", EXIT_INTERRUPTED)
        entry.notes = "interrupted"
        raise
    finally:
        reached("before_release")
        if ending is not None:
            ledger.release(lease, ending.state, note=entry.notes or None)
            entry.status, entry.exit_code = ending.status, ending.exit_code
        PublishedView(ledger, platform.root).refresh(force=True)


@dataclass(frozen=True)
class _Ending:
    state: JobState
    status: Status
    exit_code: int


def _trip(platform: Platform, job: JobRow, error: TrajgenError) -> str | None:
    """Pause launches of the job's data set, if its refusal says something about the jobs of others.

    Returns the outage's name, under which its refused runs are archived as one; None if nothing is paused.
    """
    if not _is_outage(job, error):
        return None
    breaker = platform.ledger.trip(job.dataset, outage_of(error))
    return f"{job.dataset} since {stamp(breaker.opened_at) if breaker.opened_at else 'unknown'}"


def _is_outage(job: JobRow, error: TrajgenError) -> bool:
    """Whether the next job would be refused for the same, and only a probe can tell when none would be any more."""
    if isinstance(error, ShortageError):  # no job is made while it lasts: see `why_none_begins`
        return False
    # The shell that a person starts a job from may lack a key, or name another file, that the daemon's has.
    return not (job.asked_by is AskedBy.START and isinstance(error, ConfigError | ConversionError))


def _judge_outage(platform: Platform, job: str, dataset: str, entry: ArchiveEntry) -> None:
    """What a job that ran to its end says about an outage: over if a trial ended by itself, else it goes on.

    What the outage did to a probe counts towards no cap, as what it did before.
    """
    causes: Mapping[str, int] = {c: n for c, n in entry.facts.get("causes", {}).items() if c in OUTSIDE_CAUSES}
    if not entry.facts.get("stopped_for") and entry.facts.get("n_trials", 0) > sum(causes.values()):
        platform.ledger.clear(dataset)
    elif causes and platform.ledger.breaker_state(dataset).state is not BreakerState.CLOSED:
        platform.ledger.trip(dataset, max(causes, key=lambda cause: causes[cause]), job=job)


def check_job(platform: Platform, campaign: str, n_tasks: int) -> None:
    """Make the checks of `trajgen dryrun` that are quick, before a task is claimed for a job of so many.

    The model's reply is asked for later, through the job's own proxy.

    Raises:
        EndpointError: nothing listens at the model endpoint.
        RequirementError: the sandboxes cannot be made, or disk or memory are used up.
        ProxyError: the proxy has no port.
        ConfigError, ConversionError, RefusedError: something else is not in order.
    """
    config, ledger = platform.config, platform.ledger
    refuse_unless_all_pass(Subject(platform.root, config.path, config, ledger, n_tasks=n_tasks, campaign=campaign))


def outage_of(error: TrajgenError) -> Cause:
    """What a refusal says about the outside: launches pause for it, and the sensor tells why."""
    if isinstance(error, EndpointError):
        return Cause.MODEL_PROVIDER
    return Cause.SANDBOX if isinstance(error, RequirementError) else Cause.HARNESS
