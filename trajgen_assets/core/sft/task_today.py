"""What became of a task after it was rolled out: retired by people, revoked by its manifest, changed.

Apart from where this is found out: that needs the ledger, which a process that converts trials has no time to load.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class TaskToday:
    """What is known of a task today; None is what cannot be told.

    Attributes:
        is_retired: a person skipped it, or excluded it by a list.
        is_listed: its manifest has it.
        digest: of its content.
    """

    is_retired: bool | None = None
    is_listed: bool | None = None
    digest: str | None = None

    def has_changed_since(self, digest: str) -> bool | None:
        """Whether its content is another than that of `digest`."""
        return None if self.digest is None else self.digest != digest
