"""All that is known of one task: where it is listed, how it lies, each attempt with its end, and what comes next."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trajgen_assets.core.capture.stored import stored
from trajgen_assets.core.config.config import Config
from trajgen_assets.core.errors import ConfigError
from trajgen_assets.core.intake.exclusions import exclusions
from trajgen_assets.core.intake.manifest import listed_in
from trajgen_assets.core.intake.rows import content_digest, is_row
from trajgen_assets.core.intake.source import TaskSource
from trajgen_assets.core.intake.task import inspect_task
from trajgen_assets.core.keys import MAIN_CAMPAIGN
from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.ledger.models import AttemptRow, SkipKind, TaskRow, TaskStatus
from trajgen_assets.core.paths import Root
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.report.places import running_trial
from trajgen_assets.core.report.standing.sight import Sight
from trajgen_assets.core.rollout.patch import read_patch_record
from trajgen_assets.core.rollout.pausing import why_none_begins
from trajgen_assets.core.rollout.trials import was_begun


@dataclass(frozen=True)
class AttemptFacts:
    """One attempt, as people read it. Paths are under the root; one that is not there any more is None.

    One that was never begun has no capture, no note and no duration, whatever its clean-up left on record.
    """

    attempt: int
    job: str
    trial: str
    is_accepted: bool
    is_begun: bool
    counts_as: str
    cause: str | None
    reward: float | None
    capture: str | None
    note: str | None
    began_at: str | None
    duration_s: float | None
    folder: str | None
    trajectory: str | None
    patch: str | None


@dataclass(frozen=True)
class Explanation:
    """One look at a task.

    Attributes:
        listed: where a manifest lists it, in words.
        source: what its folder in the task source looks like, in words.
        staged: the same of the folder from which it is rolled out.
        running: the trial that runs now.
        next_step: what happens next, or what a person can do.
    """

    task: str
    status: str
    listed: str
    source: str
    staged: str
    attempts: tuple[AttemptFacts, ...]
    running: str | None
    next_step: str

    def as_dict(self) -> dict[str, Any]:
        """As `trajgen explain --json` has it."""
        return asdict(self)


def explain(root: Root, ledger: Ledger, config: Config | ConfigError, row: TaskRow) -> Explanation:
    """Look at ledger, manifest and folders; changes nothing."""
    source = _source_of(config, row.dataset)
    running = running_trial(root, ledger, row)
    return Explanation(
        task=row.key.partition,
        status=_status_words(row),
        listed=_listed(source, row),
        source="unknown: its data set is not configured"
        if source is None
        else _folder(source.folder / row.task_id, row),
        staged=_folder(root.tasks / row.dataset / row.task_id, row),
        attempts=tuple(_facts(root, each) for each in ledger.attempts(row.key)),
        running=f"{running.job}/{running.trial}" if running else None,
        next_step=_next_step(root, ledger, config, row),
    )


def line_of(manifest: Path, task_id: str) -> int | None:
    """The first line of a manifest, from one, that names a task; None if none does."""
    return next((number for number, listed in listed_in(manifest) if listed == task_id), None)


def listed_nowhere_else(config: Config | ConfigError, task_id: str) -> Iterator[tuple[TaskSource, int]]:
    """The manifests that list an id which the ledger may not know yet, each with the line."""
    for source in [] if isinstance(config, ConfigError) else config.sources():
        if (line := line_of(source.manifest, task_id)) is not None:
            yield source, line


def _source_of(config: Config | ConfigError, dataset: str) -> TaskSource | None:
    sources = [] if isinstance(config, ConfigError) else config.sources()
    return next((source for source in sources if source.dataset == dataset), None)


def _status_words(row: TaskRow) -> str:
    more = [f"reward {row.reward:g}"] if row.reward is not None else []
    more += [row.last_cause] if row.status is TaskStatus.FAILED and row.last_cause else []
    more += [str(row.skip_kind)] if row.skip_kind else []
    more += ["rolled out elsewhere and taken over"] if row.imported else []
    return row.status.value + (f" ({', '.join(more)})" if more else "") + (f": {row.note}" if row.note else "")


def _listed(source: TaskSource | None, row: TaskRow) -> str:
    if source is None:
        return "its data set is not configured"
    line = line_of(source.manifest, row.task_id)
    return f"no longer in {source.manifest}" if line is None else f"line {line} of {source.manifest}"


def _folder(folder: Path, row: TaskRow) -> str:
    """What a task folder is worth, and whether it holds what was registered."""
    if not (folder.exists() or is_row(folder)):
        return f"not there: {folder}"
    found = inspect_task(folder)
    if not found.is_usable:
        return f"cannot be used: {found.note} ({folder})"
    try:
        digest = content_digest(folder)
    except Exception as error:  # noqa: BLE001  whatever cannot be read of it is what a person asks about
        return f"cannot be read: {error} ({folder})"
    equal = "as registered" if digest == row.digest else "changed since it was registered"
    return f"{folder}, {equal} (digest {digest[:12]})"


def _facts(root: Root, attempt: AttemptRow) -> AttemptFacts:
    files, is_begun = root.job(attempt.job), was_begun(attempt.note)
    folder = files.trial(attempt.trial_name)
    patch = read_patch_record(files, attempt.trial_name)
    return AttemptFacts(
        attempt=attempt.ordinal,
        job=attempt.job,
        trial=attempt.trial_name,
        is_accepted=attempt.accepted,
        is_begun=is_begun,
        counts_as=attempt.kind.value,
        cause=attempt.cause,
        reward=attempt.reward,
        capture=attempt.capture.value if attempt.capture and is_begun else None,
        note=attempt.note if is_begun else None,
        began_at=f"{attempt.started_at:%Y-%m-%d %H:%M:%S} UTC" if attempt.started_at and is_begun else None,
        duration_s=attempt.duration_s if is_begun else None,
        folder=_under(root, folder),
        trajectory=_under(root, stored(files.trajectory(attempt.trial_name))),
        patch=patch.words if patch else None,
    )


def _under(root: Root, path: Path | None) -> str | None:
    return str(path.relative_to(root.path)) if path is not None and path.exists() else None


def _next_step(root: Root, ledger: Ledger, config: Config | ConfigError, row: TaskRow) -> str:
    match row.status:
        case TaskStatus.DONE:
            return f"nothing; `trajgen ledger reset --force {row.key.partition}` has it rolled out again"
        case TaskStatus.FAILED:
            return f"nothing: its retries are used up; `trajgen ledger retry {row.key.partition}` gives it new ones"
        case TaskStatus.RUNNING:
            return f"it runs in job {row.job}; `trajgen logs -f {row.key.partition}` follows it"
        case TaskStatus.SKIPPED if row.skip_kind is SkipKind.REVOKED:
            return "nothing, unless its manifest lists it again"
        case TaskStatus.SKIPPED:
            return f"nothing; `trajgen ledger reset {row.key.partition}` lets it be rolled out"
        case _:
            return _next_of_pending(root, ledger, config, row)


def _next_of_pending(root: Root, ledger: Ledger, config: Config | ConfigError, row: TaskRow) -> str:
    """What a pending task waits for, the nearest obstacle first; without one, who takes it."""
    if (obstacle := next(_obstacles(root, ledger, config, row), None)) is not None:
        return obstacle
    by_hand = f"`trajgen start --campaign {row.campaign} --dataset {row.dataset} --tasks {row.task_id}` begins it now"
    breaker = ledger.breaker_state(row.dataset)
    if breaker.until is not None and breaker.holds(ledger.now()):
        return f"it waits for the end of an outage ({breaker.cause}) until {breaker.until:%H:%M:%S} UTC; {by_hand}"
    is_automatic = row.campaign == MAIN_CAMPAIGN and Sight(root, ledger, config).is_automatic
    return f"one of the next ticks takes it; {by_hand}" if is_automatic else by_hand


def _obstacles(root: Root, ledger: Ledger, config: Config | ConfigError, row: TaskRow) -> Iterator[str]:
    if row.job is not None:
        yield f"it begins with job {row.job}, which is {ledger.job(row.job).state}"
    if _source_of(config, row.dataset) is None and not isinstance(config, ConfigError):
        yield f"it is not rolled out: data set {row.dataset} is in no task_source"
    elif not row.eligible:
        yield f"it waits for its folder: {row.ineligible_reason}; every tick looks again"
    if isinstance(config, ConfigError):
        yield f"no new job begins: {config}"
        return
    try:
        named = [each.source for each in exclusions(config, root) if each.task_id == row.task_id]
    except ConfigError as error:  # a list that cannot be read never means that nothing is excluded
        yield f"no new job begins: {error}"
        return
    if named:
        yield f"nothing: it is excluded by {named[0]}"
    if held := why_none_begins(Platform(root, config, ledger), row.dataset):
        yield f"it waits: {held}"
