"""Where an installation stands: its phase, how far it is, what is in the way, and what to do next.

The same is shown by `trajgen status` and written to `status.yaml`. `config.yaml` is never written for it.
"""

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml

from trajgen_assets.core.atomic import write_yaml
from trajgen_assets.core.clock import stamp
from trajgen_assets.core.config.config import Config
from trajgen_assets.core.config.load import load_config
from trajgen_assets.core.errors import ConfigError, TrajgenError
from trajgen_assets.core.intake.exclusions import excluded_ids
from trajgen_assets.core.keys import MAIN_CAMPAIGN, SMOKE_CAMPAIGN
from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.ledger.models import Counts, JobRow, JobState, Pause
from trajgen_assets.core.ledger.view import is_edited
from trajgen_assets.core.paths import Root
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.redact import Redactor
from trajgen_assets.core.report.archive import unfiled_jobs
from trajgen_assets.core.report.heartbeat import is_silent, last_beat
from trajgen_assets.core.rollout.disk import low_disk
from trajgen_assets.core.rollout.lost import lost_jobs
from trajgen_assets.core.service import unit_of

log = logging.getLogger(__name__)

SCHEMA_VERSION = 1
PROBLEMS_MEND = "correct the file; `trajgen config validate` shows all problems, `trajgen init` fills in a template"


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
    """A job that is not over. `n_ended` of its trials have ended; `is_lost` if nothing drives it any more."""

    job: str
    dataset: str
    campaign: str
    state: str
    n_tasks: int
    n_ended: int
    is_lost: bool


@dataclass(frozen=True)
class Standing:
    """One look at an installation.

    Attributes:
        counts: of all campaigns but `smoke`, which says nothing about how far the data is.
        smoke: of campaign `smoke`.
        n_free: tasks that a job could take now, over all data sets and campaigns that are configured.
        n_excluded: tasks that would be free if no list of excluded tasks named them.
        jobs: those that are not over.
    """

    phase: Phase
    counts: Counts
    smoke: Counts
    n_free: int
    n_excluded: int
    jobs: tuple[JobStanding, ...]
    blockers: tuple[Blocker, ...]
    next_steps: tuple[str, ...]

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


_COUNTED = ("registered", "pending", "running", "done", "failed", "skipped", "waiting", "assigned")


def standing_of(root: Root, ledger: Ledger, config: Config | ConfigError) -> Standing:
    """Look at ledger, locks and configuration; changes nothing.

    Args:
        root: of the installation.
        ledger: its ledger.
        config: its configuration, or why it cannot be read.
    """
    smoke = ledger.counts(SMOKE_CAMPAIGN)
    counts = ledger.counts() - smoke
    jobs = _jobs(root, ledger)
    free, n_excluded = _free(root, ledger, config)
    pauses = dict(_pauses(ledger, config))
    blockers = (
        *_blockers(root, ledger, config, jobs, view_is_edited=is_edited(root.ledger_view)),
        *_pause_blockers(pauses),
    )
    n_free = sum(free.values())
    by_person = {name: pause for name in free if (pause := ledger.pause_of(name)) is not None}
    all_paused = bool(free) and all(name in pauses or name in by_person for name in free)
    phase = _phase(jobs, blockers, n_free=n_free, all_paused=all_paused)
    held = tuple(by_person.values()) if len(by_person) == len(free) else ()
    work = _Work(counts.running + smoke.running, n_free, held, _unread(ledger, config))
    steps = tuple(_next_steps(phase, jobs, blockers, counts, work))
    return Standing(phase, counts, smoke, n_free, n_excluded, jobs, blockers, steps)


def configured(path: Path) -> Config | ConfigError:
    """The configuration, or why it cannot be read, for `standing_of`."""
    try:
        return load_config(path)
    except ConfigError as error:
        return error


def publish_standing(root: Root, ledger: Ledger, config: Config | ConfigError) -> bool:
    """Write `status.yaml` where it says something else than before. What goes wrong is logged: it stops nothing.

    Returns:
        Whether the file says now where things stand.
    """
    redactor = Redactor.of_environ() if isinstance(config, ConfigError) else Redactor.of(config)
    try:
        said = _redacted(standing_of(root, ledger, config).as_dict(), redactor.text)
        if said != _published(root.status):
            write_yaml(root.status, said | {"last_updated": stamp()})
    except (OSError, TrajgenError) as error:
        log.warning("%s is not up to date: %s", root.status, redactor.error(error))
        return False
    return True


def publish_standing_of(platform: Platform) -> bool:
    """As `publish_standing`, for whoever has a platform."""
    return publish_standing(platform.root, platform.ledger, platform.config)


def publish_standing_if_changed(platform: Platform, seen: str | None, *, tasks_seen: str) -> str | None:
    """As `publish_standing_of`, unless nothing has changed since `seen` was returned.

    For a caller that comes often: with 100,000 tasks a look at all of them takes 150 ms, and this without it 1 ms.

    Args:
        platform: of the installation.
        seen: what the last call returned.
        tasks_seen: differs where a task or their published view has changed, as `refresh_if_changed` says it.

    Returns:
        What to hand to the next call; None where the file could not be written.
    """
    signature: str | None = None
    with suppress(OSError, TrajgenError):  # then nothing is known to be as it was, and publishing says what is wrong
        signature = _signature(platform, tasks_seen)
        if f"{signature} {_written_at_ns(platform.root.status)}" == seen:
            return seen
    if not publish_standing_of(platform) or signature is None:
        return None
    return f"{signature} {_written_at_ns(platform.root.status)}"


@contextmanager
def standing_published(platform: Platform) -> Iterator[None]:
    """Publish it after the block, however that ends."""
    try:
        yield
    finally:
        publish_standing_of(platform)


def _published(path: Path) -> dict[str, Any] | None:
    """What the file says, without its time; None where it cannot be read."""
    with suppress(OSError, ValueError, yaml.YAMLError):
        said = yaml.safe_load(path.read_text(encoding="utf-8"))
        if isinstance(said, dict):
            return {name: value for name, value in said.items() if name != "last_updated"}
    return None


def _redacted(said: Any, redact: Callable[[str], str]) -> Any:
    if isinstance(said, dict):
        return {name: _redacted(each, redact) for name, each in said.items()}
    if isinstance(said, list):
        return [_redacted(each, redact) for each in said]
    return redact(said) if isinstance(said, str) else said


def _signature(platform: Platform, tasks_seen: str) -> str:
    """A digest of all that a standing follows from; the tasks, and whether their view was edited, by `tasks_seen`."""
    root, ledger, config = platform.root, platform.ledger, platform.config
    jobs = _jobs(root, ledger)
    blockers = [*_blockers(root, ledger, config, jobs), *_pause_blockers(dict(_pauses(ledger, config)))]
    datasets = [source.dataset for source in config.sources()]
    read = (_unread(ledger, config), sorted(_excluded(root, config)))
    known = (tasks_seen, jobs, blockers, datasets, config.campaigns(), *read)
    return hashlib.sha256(repr(known).encode()).hexdigest()


def _written_at_ns(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def _jobs(root: Root, ledger: Ledger) -> tuple[JobStanding, ...]:
    lost = {job.row.name for job in lost_jobs(root, ledger)}
    open_jobs = ledger.jobs(JobState.RUNNING, JobState.ASSIGNED)
    return tuple(_job_standing(ledger, job, is_lost=job.name in lost) for job in open_jobs)


def _job_standing(ledger: Ledger, job: JobRow, *, is_lost: bool) -> JobStanding:
    n_ended = len(ledger.job_attempts(job.name)) if job.state is JobState.RUNNING else 0
    return JobStanding(job.name, job.dataset, job.campaign, job.state.value, job.n_tasks, n_ended, is_lost)


def _free(root: Root, ledger: Ledger, config: Config | ConfigError) -> tuple[dict[str, int], int]:
    """Free tasks of each data set that has any, and how many more there were if none were excluded."""
    if isinstance(config, ConfigError):
        return {}, 0
    free: dict[str, int] = {}
    n_excluded = 0
    exclude = _excluded(root, config)
    for dataset in (source.dataset for source in config.sources()):
        for campaign in config.campaigns():
            n_all = ledger.free(campaign, dataset).n
            n = ledger.free(campaign, dataset, exclude=exclude).n if exclude else n_all
            n_excluded += n_all - n
            if n:
                free[dataset] = free.get(dataset, 0) + n
    return free, n_excluded


def _unread(ledger: Ledger, config: Config | ConfigError) -> tuple[str, ...]:
    """Data sets whose manifest is there, and was never registered under `main`."""
    sources = [] if isinstance(config, ConfigError) else config.sources()
    there = [source.dataset for source in sources if source.manifest.is_file()]
    return tuple(dataset for dataset in there if ledger.manifest(MAIN_CAMPAIGN, dataset) is None)


def _excluded(root: Root, config: Config) -> frozenset[str]:
    with suppress(ConfigError):  # a blocker says so
        return excluded_ids(config, root)
    return frozenset()


def _pauses(ledger: Ledger, config: Config | ConfigError) -> Iterator[tuple[str, tuple[datetime, str]]]:
    """Data sets whose launches an outage holds: until when, and why."""
    for source in [] if isinstance(config, ConfigError) else config.sources():
        breaker = ledger.breaker_state(source.dataset)
        if breaker.until is not None and breaker.holds(ledger.now()):
            yield source.dataset, (breaker.until, breaker.why)


def _pause_blockers(pauses: dict[str, tuple[datetime, str]]) -> Iterator[Blocker]:
    for dataset, (until, why) in pauses.items():
        what = f"launches of {dataset} are paused until {until:%Y-%m-%d %H:%M:%S} UTC: {why}"
        yield Blocker(Severity.WARNING, what, "see what `trajgen dryrun` says; a probe goes by itself after the pause")


def _blockers(
    root: Root,
    ledger: Ledger,
    config: Config | ConfigError,
    jobs: Iterable[JobStanding],
    *,
    view_is_edited: bool = False,
) -> Iterator[Blocker]:
    """Everything in the way but pauses, the worst first. Whoever knows of more adds it here."""
    if isinstance(config, ConfigError):
        what = f"no new job begins: {config.what}" + (f" ({config.where})" if config.where else "")
        yield Blocker(Severity.ERROR, what, config.mend or PROBLEMS_MEND)
    else:
        yield from _of_sources(root, config)
        if why := low_disk(root, config.runtime_info.input.harbor_job.min_free_gb):
            yield Blocker(Severity.ERROR, f"no trial begins: {why}", "make room, or lower harbor_job.min_free_gb")
    yield from _of_daemon(root, config, ledger.now())
    for pause in ledger.pauses():
        yield Blocker(Severity.WARNING, pause.words, pause.mend)
    for job in jobs:
        if job.is_lost:
            what = f"job {job.job}: its driver has died"
            yield Blocker(Severity.WARNING, what, "the next tick or `trajgen start` settles it")
    if view_is_edited:
        what = f"{root.ledger_view.name} was changed by hand and is left as it is"
        yield Blocker(Severity.WARNING, what, "`trajgen ledger import` takes the changes over")
    if unfiled := unfiled_jobs(root, ledger):
        what = f"not archived yet: {', '.join(unfiled)}"
        yield Blocker(Severity.WARNING, what, "`trajgen runs` archives them, and so does the next tick")


def _of_daemon(root: Root, config: Config | ConfigError, now: datetime) -> Iterator[Blocker]:
    """Silent is a daemon that was not ended in good order, or whose service is installed; else it may be meant so."""
    start = "`trajgen ui`, or `trajgen service install`"
    unit, last = unit_of(root), last_beat(root)
    if last is not None and is_silent(root, now):
        what = f"the daemon has not been heard of since {last:%Y-%m-%d %H:%M:%S} UTC"
        yield Blocker(Severity.ERROR, what, f"read {root.logs / 'dagster-daemon.log'}; then {start}")
    elif last is None and unit is not None:
        what = f"the daemon does not run, though {unit.name} is installed for this root"
        yield Blocker(Severity.ERROR, what, f"systemctl --user start {unit.name}, or `trajgen service uninstall`")
    elif last is None and isinstance(config, Config) and config.runtime_info.input.automation.enabled:
        what = "automation.enabled is true and no daemon runs, so nothing begins by itself"
        yield Blocker(Severity.WARNING, what, start)


def _of_sources(root: Root, config: Config) -> Iterator[Blocker]:
    for source in config.sources():
        if not source.manifest.is_file():
            what = f"there is no manifest of {source.dataset} ({source.manifest})"
            yield Blocker(Severity.ERROR, what, "let the upstream block write it, or set task_source.manifest")
    try:
        excluded_ids(config, root)
    except ConfigError as error:
        yield Blocker(Severity.ERROR, f"no new job begins: {error.what} ({error.where})", error.mend or "correct it")


def _phase(jobs: Iterable[JobStanding], blockers: Iterable[Blocker], *, n_free: int, all_paused: bool) -> Phase:
    states = {job.state for job in jobs if not job.is_lost}
    if JobState.RUNNING.value in states:
        return Phase.ROLLING_OUT
    if any(each.severity is Severity.ERROR for each in blockers):
        return Phase.BLOCKED
    if JobState.ASSIGNED.value in states:
        return Phase.STARTING
    if all_paused:
        return Phase.PAUSED
    return Phase.READY if n_free else Phase.IDLE


@dataclass(frozen=True)
class _Work:
    """What could go on. `held`: pauses by people, if they hold all that is free; `unread`: data sets not registered."""

    n_running: int
    n_free: int
    held: tuple[Pause, ...]
    unread: tuple[str, ...]


def _next_steps(
    phase: Phase, jobs: Iterable[JobStanding], blockers: Iterable[Blocker], counts: Counts, work: _Work
) -> Iterator[str]:
    if any(job.is_lost for job in jobs):
        yield "`trajgen start` settles what the dead driver left, and goes on"
    errors = [each for each in blockers if each.severity is Severity.ERROR]
    if errors:
        yield f"mend first: {errors[0].mend}"
    elif work.n_running:
        yield f"{work.n_running} tasks are being rolled out; `trajgen ui` shows them"
    elif phase is Phase.PAUSED and work.held:
        mends = dict.fromkeys(pause.mend for pause in work.held)
        yield f"{work.n_free} tasks are free and held back by a person: {'; '.join(mends)}"
    elif phase is Phase.PAUSED:
        yield f"{work.n_free} tasks are free and wait for the end of the pause; `trajgen start` does not wait"
    elif work.n_free:
        yield f"{work.n_free} tasks are free: `trajgen start`"
    elif work.unread:
        yield f"the tasks of {', '.join(work.unread)} are not registered yet: `trajgen start` registers and rolls out"
    else:
        yield "nothing is free to roll out"
    if counts.failed:
        yield f"{counts.failed} tasks have failed: `trajgen ledger show --status failed`, then `trajgen ledger retry`"
    if counts.waiting:
        yield f"{counts.waiting} tasks wait for a usable folder: `trajgen ledger show --status pending`"
