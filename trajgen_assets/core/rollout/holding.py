"""A job in somebody's hands: refused before it is claimed, claimed, and released as it ended."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from trajgen_assets.core.errors import EndpointError, RequirementError, TrajgenError
from trajgen_assets.core.exit_codes import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, EXIT_REFUSED
from trajgen_assets.core.ledger.models import JobState, Lease
from trajgen_assets.core.ledger.view import PublishedView
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.redact import Redactor
from trajgen_assets.core.report.archive import ArchiveEntry, Status
from trajgen_assets.core.rollout.causes import Cause
from trajgen_assets.core.rollout.docker import check_engine
from trajgen_assets.core.rollout.endpoint import check_reachable
from trajgen_assets.core.rollout.plan import uses_docker
from trajgen_assets.core.rollout.record import Listener

# Beyond the batch's own longest timeouts, before a job without any event counts as stalled.
STALL_MARGIN_S = 600.0


def refuse_unless_ready(platform: Platform, job_name: str, entry: ArchiveEntry, listener: Listener) -> None:
    """Withdraw the job, so that its tasks are free again, when what it needs from outside does not answer."""
    job = platform.ledger.job(job_name)
    try:
        listener.phase("checking what the job needs from outside")
        check_outside(platform, job.campaign)
    except TrajgenError as error:
        entry.status, entry.exit_code, entry.notes = "refused", EXIT_REFUSED, Redactor.of(platform.config).error(error)
        platform.ledger.withdraw(job_name, note=entry.notes)
        platform.ledger.trip(job.dataset, outage_of(error))
        raise
    except BaseException:
        platform.ledger.withdraw(job_name, note="ended before it was claimed")
        raise


def claim(platform: Platform, job_name: str, owner: str, entry: ArchiveEntry) -> Lease:
    """Take the lease; a job that is somebody else's, or over, is none of this run's history."""
    try:
        return platform.ledger.claim(job_name, owner, ttl_s=STALL_MARGIN_S)
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
        if entry.facts.get("n_accepted"):
            ledger.clear(dataset)
    except TrajgenError as error:
        entry.notes = Redactor.of(platform.config).error(error)
        if "n_trials" not in entry.facts:
            ending = _Ending(JobState.REFUSED, "refused", EXIT_REFUSED)
        ledger.trip(dataset, outage_of(error))
        raise
    except Exception as error:
        entry.notes = Redactor.of(platform.config).error(error)
        raise
    except BaseException:
        ending = _Ending(JobState.INTERRUPTED, "interrupted", EXIT_INTERRUPTED)
        entry.notes = "interrupted"
        raise
    finally:
        ledger.release(lease, ending.state, note=entry.notes or None)
        entry.status, entry.exit_code = ending.status, ending.exit_code
        PublishedView(ledger, platform.root).refresh(force=True)


@dataclass(frozen=True)
class _Ending:
    state: JobState
    status: Status
    exit_code: int


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
