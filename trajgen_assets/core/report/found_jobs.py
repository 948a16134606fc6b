"""Jobs that lie under `jobs/`, ours and the earlier system's, read as what the ledger may take over."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from trajgen_assets.core.capture.stored import content_sha256, content_size_bytes
from trajgen_assets.core.errors import ConversionError, HarnessError, ImportRefusedError, TaskError
from trajgen_assets.core.keys import SMOKE_CAMPAIGN, TaskKey
from trajgen_assets.core.ledger.importing import FoundJob, FoundTrial
from trajgen_assets.core.ledger.models import AttemptKind, AttemptOutcome, CaptureVerdict, TaskStatus
from trajgen_assets.core.ledger.removals import REMOVED
from trajgen_assets.core.paths import JobPaths, Root
from trajgen_assets.core.rollout.causes import kind_of
from trajgen_assets.core.rollout.results import TrialResult, read_trial_result
from trajgen_assets.core.rollout.trials import TrialEntry, TrialsFile, is_removed, load_trials

Resolve = Callable[[str, str | None], TaskKey]
"""Task id and the name of the folder that the task lay in, to the task that they mean."""


@dataclass(frozen=True)
class FoundJobs:
    """Jobs on disk; what of them counts nowhere; and what cannot be read. Both with the reason."""

    jobs: list[FoundJob] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)


def find_jobs(root: Root, resolve: Resolve, *, recorded: Collection[tuple[str, str]] = ()) -> FoundJobs:
    """Read the trials in every job folder of `root`, but those `recorded`, each a job and a trial's name.

    A job with a `trials.json` is ours, and so are its trials with their causes. Of any other a trial counts that the
    verifier graded and whose trajectory lies beside it; `resolve` says which task it is. Smoke tests count nowhere.

    Raises:
        ImportRefusedError: a trial could be of several tasks, or of none that is known.
    """
    found = FoundJobs()
    trials_of: dict[str, set[str]] = {}
    for name, trial in recorded:
        trials_of.setdefault(name, set()).add(trial)
    entries = sorted(path for path in _entries(root.jobs) if path.is_dir())
    places = {path.resolve().parent for path in entries if path.is_symlink()}  # where the configuration put jobs
    for folder in entries:
        if folder.resolve() in places:
            continue
        if folder.name == SMOKE_CAMPAIGN and not (folder / "trials.json").exists():
            found.left[folder.name] = "smoke tests of the earlier system count nowhere"
            continue
        try:
            is_ours = (folder / "trials.json").exists()
            read = our_job if is_ours else partial(_earlier_job, resolve=resolve, unreadable=found.unreadable)
            job = read(root, folder, trials_of.get(folder.name, set()))
        except (ConversionError, TaskError, OSError) as error:
            found.unreadable[folder.name] = str(error)
            continue
        if job is not None and job.trials:
            found.jobs.append(job)
    return found


def _entries(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from folder.iterdir()


def our_job(root: Root, folder: Path, recorded: Collection[str]) -> FoundJob:
    """A job with a `trials.json`, and its trials but those `recorded`.

    Raises:
        ConversionError: the file cannot be read, or is of another job.
    """
    name, files = folder.name, root.job(folder.name)
    listed = load_trials(files.trials)
    if listed.job != name:
        raise ConversionError("its trials.json is of another job", where=files.trials, why=listed.job)
    fresh = [each for each in listed.trials if each.trial_name is not None and each.trial_name not in recorded]
    trials = tuple(_our_trial(root, files, listed, entry) for entry in fresh)
    written_at = datetime.fromtimestamp(files.trials.stat().st_mtime, UTC)
    return _job(name, listed.campaign, listed.dataset, trials, written_at, is_ours=True)


def _our_trial(root: Root, files: JobPaths, listed: TrialsFile, entry: TrialEntry) -> FoundTrial:
    key = TaskKey(listed.campaign, listed.dataset, entry.task_id)
    trajectory = files.dir / entry.trajectory if entry.trajectory else None
    damage = None if is_removed(files) and entry.capture else _damage(entry, trajectory)
    accepted = entry.accepted and damage is None
    status = TaskStatus(entry.status) if damage is None else TaskStatus.PENDING
    if status not in (TaskStatus.DONE, TaskStatus.FAILED) or (status is TaskStatus.DONE and not accepted):
        status = TaskStatus.PENDING
    kind = AttemptKind.FREE if damage or entry.cause is None else kind_of(entry.cause)
    outcome = AttemptOutcome(
        trial_name=entry.trial_name or "",
        kind=AttemptKind.GRADED if accepted else kind,
        cause=entry.cause,
        reward=entry.reward if accepted else None,
        capture=CaptureVerdict(entry.capture) if entry.capture else None,
        n_input_tokens=entry.n_input_tokens,
        n_output_tokens=entry.n_output_tokens,
        n_cache_tokens=entry.n_cache_tokens,
        cost_usd=entry.cost_usd,
        started_at=entry.started_at,
        finished_at=entry.finished_at,
        duration_s=entry.duration_s,
        trajectory_path=str(trajectory.relative_to(root.path)) if trajectory else None,
        trajectory_sha256=entry.trajectory_sha256,
        note=damage or (REMOVED if is_removed(files) else entry.note),
    )
    return FoundTrial(key, entry.task.digest or None, outcome, status, accepted)


def _damage(entry: TrialEntry, trajectory: Path | None) -> str | None:
    """Why an accepted trial cannot be accepted any more."""
    if not entry.accepted:
        return None
    digest = content_sha256(trajectory) if trajectory else None
    if digest is None:
        return "it was accepted, and its trajectory is not on disk any more"
    if entry.trajectory_sha256 not in (None, digest):
        return "it was accepted, and its trajectory is not the one that was recorded"
    return None if entry.capture in ("complete", "cut") else "it was accepted without a verdict on its capture"


def _earlier_job(
    root: Root, folder: Path, recorded: Collection[str], *, resolve: Resolve, unreadable: dict[str, str]
) -> FoundJob | None:
    """A job without `trials.json`: its graded trials that have their trajectory."""
    trials = []
    for trial_dir in sorted(path.parent for path in folder.glob("*/result.json")):
        if trial_dir.name in recorded:
            continue
        try:
            trial = _earlier_trial(root, trial_dir, resolve)
        except ImportRefusedError as error:
            raise error.at(trial_dir) from None
        except (HarnessError, TaskError, OSError) as error:
            unreadable[f"{folder.name}/{trial_dir.name}"] = str(error)
            continue
        if trial is not None:
            trials.append(trial)
    if not trials:
        return None
    trials.sort(key=lambda trial: trial.outcome.finished_at or datetime.min.replace(tzinfo=UTC))
    first, written_at = trials[0].key, datetime.fromtimestamp(folder.stat().st_mtime, UTC)
    return _job(folder.name, first.campaign, first.dataset, tuple(trials), written_at, is_ours=False)


def _earlier_trial(root: Root, trial_dir: Path, resolve: Resolve) -> FoundTrial | None:
    result = read_trial_result(trial_dir)
    trajectory = trial_dir / "agent" / "litellm-trajectory.jsonl"
    digest = content_sha256(trajectory)
    if result is None or result.reward is None or digest is None or not content_size_bytes(trajectory):
        return None
    if not result.task_id:
        raise HarnessError("it does not say which task it was", where=trial_dir / "result.json")
    folder = result.config.task.path.parent.name if result.config.task.path else None
    outcome = _earlier_outcome(result, trial_dir, str(trajectory.relative_to(root.path)), digest)
    return FoundTrial(resolve(result.task_id, folder), None, outcome, TaskStatus.DONE, accepted=False)


def _earlier_outcome(result: TrialResult, trial_dir: Path, trajectory: str, digest: str) -> AttemptOutcome:
    used = result.agent_result
    return AttemptOutcome(
        trial_name=trial_dir.name,
        kind=AttemptKind.GRADED,
        reward=result.reward,
        n_input_tokens=used.n_input_tokens if used else None,
        n_output_tokens=used.n_output_tokens if used else None,
        n_cache_tokens=used.n_cache_tokens if used else None,
        cost_usd=used.cost_usd if used else None,
        started_at=_aware(result.started_at),
        finished_at=_aware(result.finished_at),
        duration_s=result.duration_s if _same_kind(result) else None,
        trajectory_path=trajectory,
        trajectory_sha256=digest,
        note=result.note,
    )


def _same_kind(result: TrialResult) -> bool:
    both = (result.started_at, result.finished_at)
    return all(each is not None for each in both) and len({each.tzinfo is None for each in both if each}) == 1


def _aware(moment: datetime | None) -> datetime | None:
    return moment if moment is None or moment.tzinfo else moment.replace(tzinfo=UTC)


def _job(
    name: str, campaign: str, dataset: str, trials: tuple[FoundTrial, ...], written_at: datetime, *, is_ours: bool
) -> FoundJob:
    began = [each.outcome.started_at for each in trials if each.outcome.started_at]
    ended = [each.outcome.finished_at for each in trials if each.outcome.finished_at]
    return FoundJob(
        name,
        campaign,
        dataset,
        min(began, default=written_at),
        max(ended, default=written_at),
        is_ours,
        trials,
    )
