"""The name of a task: campaign, data set and id, and the partition key that they make."""

import re
from dataclasses import dataclass
from typing import Self

from trajgen_assets.core.errors import TaskError

MAIN_CAMPAIGN = "main"
SMOKE_CAMPAIGN = "smoke"

# One path component that no shell, URL, partition key or file system reads as anything else.
NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,199}")


def is_safe_name(name: str) -> bool:
    """Whether `name` is a single path component of at most 200 plain characters."""
    return NAME_PATTERN.fullmatch(name) is not None


@dataclass(frozen=True, order=True)
class TaskKey:
    """One task under one campaign: the unit that is consumed exactly once."""

    campaign: str
    dataset: str
    task_id: str

    def __post_init__(self) -> None:
        for label, name in (("campaign", self.campaign), ("data set", self.dataset), ("task id", self.task_id)):
            if not is_safe_name(name):
                raise TaskError(
                    f"{label} {name[:80]!r} cannot be used as a name",
                    mend="use letters, digits, '.', '_', '+' and '-', starting with a letter or digit, 200 at most",
                )

    @property
    def partition(self) -> str:
        """`<dataset>/<task_id>` in campaign `main`, `<dataset>/<task_id>@<campaign>` in any other."""
        plain = f"{self.dataset}/{self.task_id}"
        return plain if self.campaign == MAIN_CAMPAIGN else f"{plain}@{self.campaign}"

    @classmethod
    def parse(cls, partition: str) -> Self:
        """Read a partition key back.

        Raises:
            TaskError: it is not of the form `<dataset>/<task_id>[@<campaign>]`.
        """
        plain, _, campaign = partition.partition("@")
        dataset, slash, task_id = plain.partition("/")
        if not slash:
            mend = "write it as <dataset>/<task_id>[@<campaign>]"
            raise TaskError(f"{partition[:80]!r} is not a task key", mend=mend)
        return cls(campaign or MAIN_CAMPAIGN, dataset, task_id)
