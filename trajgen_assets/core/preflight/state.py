"""What lies under the root: the ledger, its view, Dagster's instance, and what earlier jobs left behind."""

import os
from collections.abc import Iterable, Iterator

from trajgen_assets.core.errors import RequirementError, TrajgenError
from trajgen_assets.core.ledger.models import JobState
from trajgen_assets.core.ledger.view import is_edited
from trajgen_assets.core.preflight.findings import Finding, Subject, ok, warn
from trajgen_assets.core.report.standing.sight import Sight
from trajgen_assets.core.rollout.lost import lost_jobs
from trajgen_assets.core.rollout.slots import live_holders

FIX = "run `trajgen ledger check --fix`"


def ledger(subject: Subject) -> Finding:
    """The ledger is whole, and its counts add up."""
    if isinstance(subject.ledger_or_error, TrajgenError):
        raise subject.ledger_or_error
    if not os.access(subject.root.path, os.W_OK):
        raise RequirementError("the root cannot be written", where=subject.root.path, mend="change its owner or mode")
    counts = subject.ledger.check_balance()
    return ok(f"{counts.registered} registered, {counts.done} done, {counts.pending} pending; it balances")


def published_view(subject: Subject) -> Finding:
    """Nobody has changed the published view by hand."""
    if is_edited(subject.root.ledger_view):
        text = f"{subject.root.ledger_view} was changed by hand and is no longer kept up to date"
        return warn(text, "take the changes over with `trajgen ledger import`, or move the file away")
    return ok("as it was written" if subject.root.ledger_view.exists() else "not written yet")


def dagster_instance(subject: Subject) -> Finding:
    """Set-up has made Dagster's instance."""
    home = subject.root.dagster_home
    if not (home / "dagster.yaml").is_file():
        raise RequirementError("there is no Dagster instance yet", where=home, mend="run `trajgen setup`")
    return ok(str(home))


def jobs(subject: Subject) -> Iterator[Finding]:
    """Jobs that run, jobs that lost their driver, and slots that something holds without a job."""
    lost = list(lost_jobs(subject.root, subject.ledger))
    for job in lost:
        held = ", though something still holds its slot" if job.is_held else ""
        text = f"{job.row.name} is running in the ledger and nothing drives it{held}"
        yield warn(text, f"{FIX}; the next `trajgen start` settles it too", subject="lost")
    running = {job.name for job in subject.ledger.jobs(JobState.RUNNING, JobState.ASSIGNED)}
    for name in sorted(live_holders(subject.root.locks) - running):
        text = f"a job slot is held by {name or 'something without a name'}, which is no job that runs"
        yield warn(text, f"run `trajgen reap {name}`" if name else "wait until it ends", subject="slot")
    n_running = len(subject.ledger.jobs(JobState.RUNNING)) - len(lost)
    yield ok(f"{n_running} running" if n_running else "none is running")


def pauses(subject: Subject) -> Iterable[Finding]:
    """Data sets whose launches are paused, by a person or after an outage."""
    now = subject.ledger.now()
    breakers = [subject.ledger.breaker_state(source.dataset) for source in subject.config.sources()]
    paused = [each for each in breakers if each.holds(now)]
    sight = Sight(subject.root, subject.ledger, subject.config)
    again = "the sensor tries again by itself" if sight.is_automatic else "nothing tries again by itself"
    mend = f"see to the cause; {again}, and `trajgen start` is not held back"
    by_people = [warn(each.words, each.mend) for each in subject.ledger.pauses()]
    return by_people + [
        warn(f"launches are paused until {each.until:%Y-%m-%d %H:%M:%S} UTC: {each.cause}", mend, subject=each.dataset)
        for each in paused
    ] or [ok("no data set is paused")]
