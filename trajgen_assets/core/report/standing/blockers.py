"""What is in the way of an installation, the worst first."""

from collections.abc import Iterator

from trajgen_assets.core.config.config import Config
from trajgen_assets.core.errors import ConfigError
from trajgen_assets.core.intake.manifest import missing_manifest
from trajgen_assets.core.report.archive import unfiled_jobs
from trajgen_assets.core.report.heartbeat import is_silent, last_beat
from trajgen_assets.core.report.standing.models import Blocker, JobStanding, Severity
from trajgen_assets.core.report.standing.sight import Sight
from trajgen_assets.core.rollout.disk import low_disk
from trajgen_assets.core.service import unit_of

PROBLEMS_MEND = "correct the file; `trajgen config validate` shows all problems, `trajgen init` fills in a template"


def blockers(sight: Sight, *, view_is_edited: bool = False) -> Iterator[Blocker]:
    """Everything in the way. Whoever knows of more adds it here."""
    yield from _of_config(sight)
    yield from _of_daemon(sight)
    for pause in sight.ledger.pauses():
        yield Blocker(Severity.WARNING, pause.words, pause.mend)
    for job in sight.jobs:
        if job.is_lost:
            yield _lost(sight, job)
    if view_is_edited:
        what = f"{sight.root.ledger_view.name} was changed by hand and is left as it is"
        yield Blocker(Severity.WARNING, what, "`trajgen ledger import` takes the changes over")
    if unfiled := unfiled_jobs(sight.root, sight.ledger):
        what = f"not archived yet: {', '.join(unfiled)}"
        yield Blocker(Severity.WARNING, what, "`trajgen runs` archives them, and so does the next tick")
    yield from _of_outages(sight)


def _of_config(sight: Sight) -> Iterator[Blocker]:
    config = sight.config
    if isinstance(config, ConfigError):
        what = f"no new job begins: {config.what}" + (f" ({config.where})" if config.where else "")
        yield Blocker(Severity.ERROR, what, config.mend or PROBLEMS_MEND)
        return
    for source in sight.sources:
        if not source.manifest.is_file():
            missing = missing_manifest(source.manifest, source.dataset)
            yield Blocker(Severity.ERROR, f"{missing.what} ({missing.where})", missing.mend or "write it")
    if isinstance(error := sight.excluded, ConfigError):
        yield Blocker(Severity.ERROR, f"no new job begins: {error.what} ({error.where})", error.mend or "correct it")
    if sight.used_up:
        yield Blocker(Severity.WARNING, f"no job begins: {sight.used_up.why}", sight.used_up.mend)
    if why := low_disk(sight.root, config.runtime_info.input.harbor_job.min_free_gb):
        yield Blocker(Severity.ERROR, f"no trial begins: {why}", "make room, or lower harbor_job.min_free_gb")


def _of_daemon(sight: Sight) -> Iterator[Blocker]:
    """Silent is a daemon that was not ended in good order, or whose service is installed; else it may be meant so."""
    root, config = sight.root, sight.config
    start = "`trajgen ui`, or `trajgen service install`"
    unit, last = unit_of(root), last_beat(root)
    if last is not None and is_silent(root, sight.now):
        what = f"the daemon has not been heard of since {last:%Y-%m-%d %H:%M:%S} UTC"
        yield Blocker(Severity.ERROR, what, f"read {root.logs / 'dagster-daemon.log'}; then {start}")
    elif last is None and unit is not None:
        what = f"the daemon does not run, though {unit.name} is installed for this root"
        yield Blocker(Severity.ERROR, what, f"systemctl --user start {unit.name}, or `trajgen service uninstall`")
    elif last is None and isinstance(config, Config) and config.runtime_info.input.automation.enabled:
        what = "automation.enabled is true and no daemon runs, so nothing begins by itself"
        yield Blocker(Severity.WARNING, what, start)


def _lost(sight: Sight, job: JobStanding) -> Blocker:
    """A job whose driver died. To settle it takes the configuration: its retries, its secrets, its task folders."""
    what = f"job {job.job}: its driver has died"
    if isinstance(sight.config, ConfigError):
        what += ", and it is not settled while the configuration cannot be used"
        return Blocker(Severity.WARNING, what, "mend that first; what had ended is kept meanwhile")
    by_tick = "the next tick or " if sight.has_daemon else ""
    return Blocker(Severity.WARNING, what, f"{by_tick}`trajgen start` settles it")


def _of_outages(sight: Sight) -> Iterator[Blocker]:
    if sight.is_automatic:
        then = "a probe goes by itself after the pause"
    else:
        why = "automation is off" if sight.has_daemon else "no daemon runs"
        then = f"nothing goes by itself, since {why}: `trajgen start` tries again, now or later"
    for dataset, (until, why) in sight.outages.items():
        what = f"launches of {dataset} are paused until {until:%Y-%m-%d %H:%M:%S} UTC: {why}"
        yield Blocker(Severity.WARNING, what, f"see what `trajgen dryrun` says; {then}")
