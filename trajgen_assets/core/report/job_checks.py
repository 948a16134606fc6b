"""What has to hold of a job that is over before anybody builds on it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from trajgen_assets.core.capture.stored import content_sha256
from trajgen_assets.core.counting import count_of, some_of
from trajgen_assets.core.paths import JobPaths
from trajgen_assets.core.rollout.trials import TrialEntry, TrialsFile

# Shares of trials that ended without a valid result: a few are the weather, half of them are a fault.
WARN_SHARE, FAIL_SHARE = 0.1, 0.5
CANCELLED = "cancelled"
N_SHOWN = 5


@dataclass(frozen=True)
class Verdict:
    """What a check came to.

    Attributes:
        words: what was found, in one line.
        figures: the numbers that it rests on, and names of trials.
        is_grave: whether a failure is one to act on; otherwise somebody should know.
    """

    passed: bool
    words: str
    figures: Mapping[str, int | float | list[str]] = field(default_factory=dict)
    is_grave: bool = True

    @property
    def blocks(self) -> bool:
        """Whether it keeps the data from being made, where the check is one of those that may."""
        return self.is_grave and not self.passed


def has_valid_result(_: JobPaths, job: TrialsFile) -> Verdict:
    """At least one trial was graded and is on record without a gap: else there is nothing to make data of."""
    n_valid = sum(entry.accepted for entry in job.trials)
    words = f"{n_valid} of {count_of(len(job.trials), 'trial')} gave a valid result"
    return Verdict(n_valid > 0, words, {"n_valid": n_valid, "n_trials": len(job.trials)})


def error_share(_: JobPaths, job: TrialsFile) -> Verdict:
    """Few trials ended by something else than the agent. What a person cancelled or superseded counts on no side."""
    errors = [entry for entry in job.trials if not entry.accepted and entry.cause not in (None, CANCELLED)]
    n = len(errors) + sum(entry.accepted for entry in job.trials)
    share = len(errors) / n if n else 0.0
    causes = ", ".join(sorted({entry.cause or "" for entry in errors}))
    words = f"{len(errors)} of {count_of(n, 'trial')} ended without a valid result ({share:.0%})"
    figures = {"n_errors": len(errors), "n_trials": n, "error_share": round(share, 4)}
    is_fine = share <= WARN_SHARE
    return Verdict(is_fine, f"{words}: {causes}" if causes else words, figures, is_grave=share > FAIL_SHARE)


def capture_complete(files: JobPaths, job: TrialsFile) -> Verdict:
    """Every accepted record lies on disk as it was recorded, and no trial was lost to a gap in its record."""
    broken = list(_broken_records(files, job))
    gaps = [entry.trial_name or entry.task_id for entry in job.trials if entry.capture == "gap"]
    figures: dict[str, int | float | list[str]] = {"n_gaps": len(gaps), "n_broken": len(broken)}
    if broken:
        return Verdict(
            False, f"on disk is not what was recorded: {some_of(broken, N_SHOWN)}", figures | {"broken": broken}
        )
    if gaps:
        words = f"{count_of(len(gaps), 'record')} had a gap, and gave no result: {some_of(gaps, N_SHOWN)}"
        return Verdict(False, words, figures | {"gaps": gaps}, is_grave=False)
    n = sum(entry.accepted for entry in job.trials)
    return Verdict(True, f"{count_of(n, 'record is', 'records are')} complete and as recorded", figures)


# Of a job that fails one of these gravely no training data is made.
BLOCKING = (has_valid_result, capture_complete)


def why_blocked(files: JobPaths, job: TrialsFile) -> str | None:
    """Why no training data may be made of a job, in words; None if it may. Reads every accepted record."""
    verdicts = (look(files, job) for look in BLOCKING)
    return "; ".join(each.words for each in verdicts if each.blocks) or None


def _broken_records(files: JobPaths, job: TrialsFile) -> Iterator[str]:
    accepted = (entry for entry in job.trials if entry.accepted)
    return (f"{entry.trial_name} ({why})" for entry in accepted if (why := _why_broken(files, entry)))


def _why_broken(files: JobPaths, entry: TrialEntry) -> str | None:
    if entry.trajectory is None:  # of an accepted trial it is named
        return "no record is named"
    found = content_sha256(files.dir / entry.trajectory)
    if found is None:
        return "missing"
    return None if entry.trajectory_sha256 in (None, found) else "changed"
