"""A clock that tells the time it was set to, and a ledger filled with a few words."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from trajgen_assets.core.keys import TaskKey
from trajgen_assets.core.ledger import (
    AttemptKind,
    AttemptOutcome,
    Batch,
    CaptureVerdict,
    Lease,
    Ledger,
    ListedTask,
    ManifestSeen,
    RegisterResult,
    RetryPolicy,
    TaskRow,
)

DATASET = "py-cc"
POLICY = RetryPolicy(max_retries=1, max_infra_retries=2, capture_retries=1)


@dataclass
class SetClock:
    """Time that passes only when told to."""

    at: datetime = field(default_factory=lambda: datetime(2026, 1, 1, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.at

    def pass_s(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


# For a test that is about the file, in a module that is about both places.
ON_FILE = pytest.mark.parametrize("place", ["file"], indirect=True)

HELD = Lease("running", "run-1", 1, SetClock().at)


def key(task_id: str, dataset: str = DATASET, campaign: str = "main") -> TaskKey:
    return TaskKey(campaign, dataset, task_id)


def listed(task_id: str, digest: str | None = None, *, reason: str | None = None) -> ListedTask:
    content = None if reason else digest or f"digest of {task_id}"
    return ListedTask(task_id, content, reason is None, reason)


def register(
    ledger: Ledger, *entries: str | ListedTask, dataset: str = DATASET, campaign: str = "main", whole: bool = True
) -> RegisterResult:
    lines = [listed(each) if isinstance(each, str) else each for each in entries]
    seen = ManifestSeen("verifiable_tasks.txt", f"{len(lines)}", len(lines))
    return ledger.register(campaign, dataset, lines, seen, whole=whole)


def batch(limit: int | None = 100, task_ids: Sequence[str] | None = None, **more: Any) -> Batch:
    return Batch(more.pop("campaign", "main"), more.pop("dataset", DATASET), limit, task_ids, **more)


def take(ledger: Ledger, job: str, wanted: Batch, owner: str, *, ttl_s: float = 600) -> Lease | None:
    """Assign free tasks to a new job and claim it; None when there are none."""
    assigned = ledger.assign(job, wanted)
    return None if assigned is None else ledger.claim(job, owner, ttl_s=ttl_s)


def start(ledger: Ledger, job: str = "job-1", owner: str = "run-1", *task_ids: str, ttl_s: float = 60) -> Lease:
    lease = take(ledger, job, batch(task_ids=task_ids or None), owner, ttl_s=ttl_s)
    assert lease is not None
    return lease


def graded(trial_name: str, reward: float = 1.0, **more: Any) -> AttemptOutcome:
    found = {"capture": CaptureVerdict.COMPLETE, "trajectory_path": f"{trial_name}/t.jsonl", "trajectory_sha256": "ab"}
    return AttemptOutcome(trial_name, AttemptKind.GRADED, reward=reward, **(found | more))


def lost(trial_name: str, kind: AttemptKind = AttemptKind.OUTSIDE, cause: str = "sandbox") -> AttemptOutcome:
    return AttemptOutcome(trial_name, kind, cause)


def settle(ledger: Ledger, lease: Lease, task_id: str, outcome: AttemptOutcome) -> TaskRow:
    return ledger.record_attempt(lease, key(task_id), outcome, POLICY)
