"""A run and its archive entry: opened as the run begins, filed as it ends, however it ends and by whoever is left.

While a run goes on its entry is a hidden folder. It is filed when the ledger says that the job is over, so that each
job is archived once: by its driver, by the recovery that settled it, or, where that was killed or the disk was full
just then, by the next tick.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trajgen_assets.core.atomic import write_yaml
from trajgen_assets.core.clock import stamp
from trajgen_assets.core.config.config import redacted
from trajgen_assets.core.errors import LedgerError, TrajgenError
from trajgen_assets.core.exit_codes import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, EXIT_REFUSED
from trajgen_assets.core.faults import reached
from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.ledger.models import JobRow, JobState
from trajgen_assets.core.paths import Root
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.redact import Redactor
from trajgen_assets.core.report.archive import opened as open_entries
from trajgen_assets.core.report.archive.filing import Ending, file_entry, is_filed
from trajgen_assets.core.report.archive.models import RunMetadata, Status
from trajgen_assets.core.report.archive.opened import OpenEntry
from trajgen_assets.core.report.archive.origin import images_of, made_environments, origin_of
from trajgen_assets.core.report.archive.session import SessionLog
from trajgen_assets.core.rollout.record import Listener, SilentListener
from trajgen_assets.core.runtimes.manifest import RuntimeMade

log = logging.getLogger(__name__)

_ENDINGS: dict[JobState, tuple[Status, int]] = {
    JobState.FINISHED: ("completed", EXIT_OK),
    JobState.FAILED: ("failed", EXIT_FAILED),
    JobState.INTERRUPTED: ("interrupted", EXIT_INTERRUPTED),
    JobState.REFUSED: ("refused", EXIT_REFUSED),
}


@dataclass
class ArchiveEntry:
    """What is known of a run while it runs. The status is `failed` until someone can say better.

    Attributes:
        job: the job's name.
        owner: id of the Dagster run, or of whatever else drove the job.
        is_kept: whether there is anything to archive; a run that found its job taken is no history of the job.
        outage: what refused the run, by data set and beginning; runs that one outage refuses share one entry.
        facts: what only the run itself knows: that it was stopped, and for what.
        listener: whoever is told of the run's steps, behind its session log.
        opened: where the entry is being made; None where it cannot be written.
    """

    job: str
    owner: str
    started_at: str
    status: Status = "failed"
    exit_code: int = 1
    notes: str = ""
    is_kept: bool = True
    outage: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    listener: Listener = field(default_factory=SilentListener)
    opened: OpenEntry | None = None

    def runs_in(self, environments: Mapping[str, Path], runtime: RuntimeMade | None = None) -> None:
        """Note what the run works in, where it was built or chosen after the entry had been begun."""
        if self.opened is None:
            return
        begun, made = self.opened.begun, {"environments": made_environments(environments), "runtime": runtime}
        origin = begun.origin.model_copy(update=made)
        if origin == begun.origin:
            return
        try:
            self.opened = self.opened.rewrite(begun.model_copy(update={"origin": origin}))
        except OSError as error:
            log.error("the archive entry of %s names an earlier environment: %s", self.job, error)


@contextmanager
def archived(platform: Platform, *, job: str, owner: str, listener: Listener | None = None) -> Iterator[ArchiveEntry]:
    """Archive the run that happens in this block, also when it is refused, interrupted or killed by an exception.

    An entry that cannot be written now is said so in the log and filed later; it changes nothing about the job.

    Args:
        platform: whose root, configuration and ledger the run works with.
        job: the job's name.
        owner: who drives it.
        listener: told of all that the entry's own listener is told.
    """
    opened = _begun(platform, job, owner)
    with _written(platform, job, owner, opened, listener) as entry:
        yield entry


@contextmanager
def archived_after(platform: Platform, job: JobRow) -> Iterator[ArchiveEntry]:
    """As `archived`, for whoever settles a job that somebody else drove: the entry that was left open is gone on with.

    Where its driver still lives, though it hangs, the entry is the driver's to file.
    """
    found = [path for path, begun in open_entries.left_open(platform.root) if begun.job == job.name]
    adopted = [each for path in found if (each := open_entries.adopt(path)) is not None]
    for older in adopted[:-1]:  # of runs that were killed before they claimed the job
        older.discard()
        older.let_go()
    is_held, opened = bool(found) and not adopted, adopted[-1] if adopted else None
    if not found:
        started_at = stamp(job.started_at) if job.started_at else None
        opened = _begun(platform, job.name, job.owner or "unknown", started_at=started_at)
    owner = opened.begun.owner if opened else job.owner or "unknown"
    with _written(platform, job.name, owner, opened, None) as entry:
        entry.is_kept = not is_held
        yield entry


def file_left_open(root: Root, ledger: Ledger, redactor: Redactor) -> list[RunMetadata]:
    """File the entries of jobs that are over and whose driver could not: it was killed, or the disk was full.

    Returns:
        What was filed. What cannot be is said in the log and left for the next call.
    """
    filed = []
    for path, begun in open_entries.left_open(root):
        state = _state(ledger, begun.job)
        if state is not None and not state.is_over:
            continue  # it runs, or recovery has yet to settle it
        if (opened := open_entries.adopt(path)) is None:
            continue
        try:
            if is_filed(root, opened):
                opened.discard()
            else:
                filed.append(_file_afterwards(root, ledger, opened, redactor))
        except (OSError, TrajgenError) as error:
            log.error("job %s is not archived yet: %s", begun.job, redactor.error(error))
        finally:
            opened.let_go()
    return filed


def unfiled_jobs(root: Root, ledger: Ledger) -> list[str]:
    """Jobs that are over and whose entry is still open, though nobody is at it."""
    return [
        begun.job
        for path, begun in open_entries.left_open(root)
        if not open_entries.is_held(path) and ((state := _state(ledger, begun.job)) is None or state.is_over)
    ]


def _begun(platform: Platform, job: str, owner: str, *, started_at: str | None = None) -> OpenEntry | None:
    """Open an entry; None where it cannot be written, which the run will meet by itself soon enough."""
    try:
        opened = open_entries.begin(platform.root, job=job, owner=owner, started_at=started_at)
    except OSError as error:
        log.error("the archive entry of %s cannot be begun: %s", job, error)
        return None
    try:
        write_yaml(opened.path / "config.yaml", redacted(platform.config))
        row = platform.ledger.job(job)
        known: dict[str, Any] = {
            "origin": origin_of(platform, row, opened.path),
            "image_names": images_of(platform, row),
            "config": str(platform.config.path),
        }
        return opened.rewrite(opened.begun.model_copy(update=known))
    except (OSError, TrajgenError) as error:
        log.error("what %s is made from is not archived: %s", job, Redactor.of(platform.config).error(error))
        return opened
    except BaseException:
        opened.let_go()
        raise


@contextmanager
def _written(
    platform: Platform, job: str, owner: str, opened: OpenEntry | None, listener: Listener | None
) -> Iterator[ArchiveEntry]:
    redactor = Redactor.of(platform.config)
    session = SessionLog(opened.session if opened else None, listener or SilentListener(), redactor.text)
    entry = ArchiveEntry(job=job, owner=owner, started_at=opened.begun.started_at if opened else stamp())
    entry.listener, entry.opened = session, opened
    try:
        with session.hearing_the_program():
            session.say(f"job {job}, driven by {owner}")
            yield entry
    except TrajgenError as error:
        entry.notes = entry.notes or redactor.text(error.what)
        session.say(f"error: {error}")
        raise
    except BaseException as error:
        entry.status = "interrupted" if not isinstance(error, Exception) else "failed"
        entry.exit_code = EXIT_INTERRUPTED if entry.status == "interrupted" else EXIT_FAILED
        entry.notes = entry.notes or type(error).__name__
        session.say(f"error: {redactor.error(error)}" if isinstance(error, Exception) else "interrupted")
        raise
    finally:
        try:
            _leave(platform, entry, entry.opened, session, redactor)
        finally:
            if opened is not None:
                opened.let_go()


def _leave(
    platform: Platform, entry: ArchiveEntry, opened: OpenEntry | None, session: SessionLog, redactor: Redactor
) -> None:
    """File the entry if the job is over; whatever goes wrong with that, how the job ended stands in the ledger."""
    if opened is None:
        return
    if not entry.is_kept:
        opened.discard()
        return
    try:
        if platform.ledger.job(entry.job).state is JobState.RUNNING:
            return  # what ended may not be on record: recovery settles the job, and files its entry
        session.say(f"{entry.status}" + (f": {entry.notes}" if entry.notes else ""))
        reached("before_archive")
        ending = Ending(entry.status, entry.exit_code, entry.notes, entry.outage, entry.facts)
        file_entry(platform.root, platform.ledger, opened, ending, redact=redactor.text)
    except (OSError, TrajgenError) as error:
        mend = "the next tick or `trajgen runs` archives it when that is mended"
        log.error("job %s is over and not archived: %s. Mend: %s", entry.job, redactor.error(error), mend)


def _file_afterwards(root: Root, ledger: Ledger, opened: OpenEntry, redactor: Redactor) -> RunMetadata:
    SessionLog(opened.session, SilentListener(), redactor.text).say("archived afterwards: its driver did not")
    try:
        row = ledger.job(opened.begun.job)
    except LedgerError:
        ending = Ending("failed", EXIT_FAILED, "archived afterwards; the ledger does not know this job")
    else:
        status, exit_code = _ENDINGS[row.state]
        notes = "; ".join(filter(None, (row.note, "archived afterwards")))
        ending = Ending(status, exit_code, redactor.text(notes))
    return file_entry(root, ledger, opened, ending, redact=redactor.text)


def _state(ledger: Ledger, job: str) -> JobState | None:
    with suppress(LedgerError):
        return ledger.job(job).state
    return None
