"""A job in somebody's hands: refused before it is claimed, claimed, and released as it ended."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from trajgen_assets.core.clock import stamp
from trajgen_assets.core.errors import BusyError, EndpointError, RequirementError, TrajgenError
from trajgen_assets.core.exit_codes import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, EXIT_REFUSED
from trajgen_assets.core.faults import reached
from trajgen_assets.core.ledger.models import JobState, Lease
from trajgen_assets.core.ledger.view import PublishedView
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.redact import Redactor
from trajgen_assets.core.report.archive import ArchiveEntry, Status
from trajgen_assets.core.rollout.causes import OUTSIDE_CAUSES, Cause
from trajgen_assets.core.rollout.docker import check_engine
from trajgen_assets.core.rollout.endpoint import check_reachable
from trajgen_assets.core.rollout.plan import uses_docker
from trajgen_assets.core.rollout.record import Listener

# From the claim to the start of Harbor: staging, the proxy, one reply of the model. From then on progress renews it.
CLAIM_TTL_S = 1800.0


def refuse_unless_ready(platform: Platform, job_name: str, entry: ArchiveEntry, listener: Listener) -> None:
    """Withdraw the job, so that its tasks are free again, when what it needs from outside does not answer."""
    job = platform.ledger.job(job_name)
    if job.state is not JobState.ASSIGNED:  # Dagster retries runs that died; what the first one left is recovery's
        entry.is_kept = False
        mend = "nothing: its unfinished tasks come with a later job"
        raise BusyError("another run has begun this job", where=job_name, why=f"it is {job.state}", mend=mend)
    try:
        listener.phase("checking what the job needs from outside")
        check_outside(platform, job.campaign)
    except TrajgenError as error:
        entry.status, entry.exit_code, entry.notes = "refused", EXIT_REFUSED, Redactor.of(platform.config).error(error)
        platform.ledger.withdraw(job_name, note=entry.notes)
        entry.outage = _trip(platform, job.dataset, error)
        raise
    except BaseException:
        platform.ledger.withdraw(job_name, note="ended before it was claimed")
        raise


def claim(platform: Platform, job_name: str, owner: str, entry: ArchiveEntry) -> Lease:
    """Take the lease; a job that is somebody else's, or over, is none of this run's history."""
    reached("before_claim")
    try:
        return platform.ledger.claim(job_name, owner, ttl_s=CLAIM_TTL_S)
    except TrajgenError:
        entry.is_kept = False
        raise


@contextmanager
def released(platform: Platform, lease: Lease, entry: ArchiveEntry) -> Iterator[None]:
    """Release the lease on the way out, in the state that tells how the job ended, and then say so in the archive."""
    ledger, dataset = platform.ledger, platform.ledger.job(lease.job).dataset
    ending = _Ending(JobState.FAILED, "failed", EXIT_FAILED)
    try:
        yield
        ending = _Ending(JobState.FINISHED, "completed", EXIT_OK)
        if _shows_that_it_works(entry):
            ledger.clear(dataset)
    except TrajgenError as error:
        entry.notes = Redactor.of(platform.config).error(error)
        if "n_trials" not in entry.facts:
            ending = _Ending(JobState.REFUSED, "refused", EXIT_REFUSED)
        entry.outage = _trip(platform, dataset, error)
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
        ledger.release(lease, ending.state, note=entry.notes or None)
        entry.status, entry.exit_code = ending.status, ending.exit_code
        PublishedView(ledger, platform.root).refresh(force=True)


@dataclass(frozen=True)
class _Ending:
    state: JobState
    status: Status
    exit_code: int


def _trip(platform: Platform, dataset: str, error: TrajgenError) -> str:
    """Pause launches of the data set; returns the outage's name, under which its refused runs are archived as one."""
    breaker = platform.ledger.trip(dataset, outage_of(error))
    return f"{dataset} since {stamp(breaker.opened_at) if breaker.opened_at else 'unknown'}"


def _shows_that_it_works(entry: ArchiveEntry) -> bool:
    """Whether a job is proof that an outage is over: a trial ended by itself, and none of many in a row did not."""
    causes: Mapping[str, int] = entry.facts.get("causes", {})
    n_outside = sum(n for cause, n in causes.items() if cause in OUTSIDE_CAUSES)
    return not entry.facts.get("stopped_for") and entry.facts.get("n_trials", 0) > n_outside


def check_outside(platform: Platform, campaign: str) -> None:
    """Make sure that what a job needs from outside answers, before a task is claimed for it.

    Raises:
        EndpointError: nothing listens at the model endpoint.
        RequirementError: trials run in Docker, and the engine does not answer.
    """
    check_reachable(platform.config.campaign(campaign).llm_api.api_base_url)
    if uses_docker(platform.config.runtime_info.input.harbor_job.environment):
        check_engine()


def outage_of(error: TrajgenError) -> Cause:
    """What a refusal says about the outside: launches pause for it, and the sensor tells why."""
    if isinstance(error, EndpointError):
        return Cause.MODEL_PROVIDER
    return Cause.SANDBOX if isinstance(error, RequirementError) else Cause.HARNESS
