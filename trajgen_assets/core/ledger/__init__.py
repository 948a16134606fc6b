"""The ledger: the only truth about which tasks were consumed, each exactly once, and how that ended."""

from trajgen_assets.core.ledger.breaker import tripping_cause
from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.ledger.models import (
    AttemptKind,
    AttemptOutcome,
    AttemptRow,
    Batch,
    Breaker,
    BreakerState,
    CaptureVerdict,
    Counts,
    JobRow,
    JobState,
    Lease,
    ListedTask,
    ManifestRow,
    ManifestSeen,
    RegisterResult,
    RetryPolicy,
    SkipKind,
    TaskFilter,
    TaskRow,
    TaskStatus,
)
from trajgen_assets.core.ledger.store import create_ledger, open_ledger
from trajgen_assets.core.ledger.view import PublishedView, ViewState

__all__ = [
    "AttemptKind",
    "AttemptOutcome",
    "AttemptRow",
    "Batch",
    "Breaker",
    "BreakerState",
    "CaptureVerdict",
    "Counts",
    "JobRow",
    "JobState",
    "Lease",
    "Ledger",
    "ListedTask",
    "ManifestRow",
    "ManifestSeen",
    "PublishedView",
    "RegisterResult",
    "RetryPolicy",
    "SkipKind",
    "TaskFilter",
    "TaskRow",
    "TaskStatus",
    "ViewState",
    "create_ledger",
    "open_ledger",
    "tripping_cause",
]
