"""What stands wrong with a root now, and what went wrong lately, each as an alert that is about one thing."""

from collections.abc import Iterator
from datetime import datetime

from trajgen_assets.core.clock import stamp
from trajgen_assets.core.errors import ConfigError
from trajgen_assets.core.ledger.models import BreakerState, JobRow, JobState
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.report.alerts import Alert
from trajgen_assets.core.rollout.budget import day_used_up
from trajgen_assets.core.rollout.budget_notes import refusal_of_job
from trajgen_assets.core.rollout.disk import low_disk


def standing_alarms(platform: Platform) -> Iterator[Alert]:
    """A disk that is nearly full, a used-up day, an outage: one alert for each time that it begins."""
    why = low_disk(platform.root, platform.config.runtime_info.input.harbor_job.min_free_gb)
    yield from episode(platform, "disk", f"no trial begins: {why}" if why else None)
    used_up = day_used_up(platform.root, platform.config, platform.ledger)
    yield from episode(platform, "budget", f"no job begins: {used_up.words}" if used_up else None)
    yield from _outages(platform)


def episode(platform: Platform, kind: str, text: str | None, *, of: str = "") -> Iterator[Alert]:
    """An alert about what is wrong since a moment; the ledger keeps that moment until nothing is wrong (None)."""
    began = platform.ledger.wrong_since(f"{kind} {of}".rstrip(), is_wrong=text is not None)
    if began is not None and text is not None:
        yield Alert(kind, f"{of} {stamp(began)}".lstrip(), text)


def job_alarms(platform: Platform, since: datetime) -> Iterator[Alert]:
    """Jobs that failed, and jobs that a budget stopped, as far as they run or ended after `since`."""
    for job in platform.ledger.jobs(JobState.RUNNING, JobState.FINISHED, JobState.FAILED, JobState.INTERRUPTED):
        if job.finished_at is None or job.finished_at >= since:
            yield from _of_job(platform, job)


def _of_job(platform: Platform, job: JobRow) -> Iterator[Alert]:
    if job.state is JobState.FAILED:
        yield Alert("job", job.name, f"job {job.name} failed: {job.note or 'see its log'}")
    if (refusal := refusal_of_job(platform.root.job(job.name))) is not None:
        yield Alert("budget", job.name, f"job {job.name} was stopped: {refusal.text}")


def _outages(platform: Platform) -> Iterator[Alert]:
    try:
        datasets = [source.dataset for source in platform.config.sources()]
    except ConfigError:  # two data sets of one name: the sensor that reads them says so
        return
    for dataset in datasets:
        breaker = platform.ledger.breaker_state(dataset)
        if breaker.state is not BreakerState.CLOSED and breaker.opened_at is not None:
            text = f"launches of {dataset} are paused: {breaker.why}"
            yield Alert("outage", f"{dataset} {stamp(breaker.opened_at)}", text)
