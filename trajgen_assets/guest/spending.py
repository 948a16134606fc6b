"""What model calls took, line by line in files that proxies append to, and the limits that it is held against.

    {"at": "2026-11-26T05:08:32+00:00", "job": …, "trial": …, "call_id": …, "tokens": 1234, "cost_usd": 0.0021}

A root has one such file for each day in UTC, to which all its jobs append. A line that cannot be read may stand for
any amount, so it is an error and never nothing. Both sides import this module: the proxies to write and to enforce,
the platform to see whether a job may begin. Standard library only.
"""

import fcntl
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any


class UnreadableSpendError(ValueError):
    """A file of spent amounts does not say how much was spent."""


class _BadLineError(UnreadableSpendError):
    pass


@dataclass(frozen=True)
class Spent:
    """An amount: tokens of requests and replies together, and US dollars."""

    tokens: int = 0
    cost_usd: float = 0.0

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(self.tokens + other.tokens, self.cost_usd + other.cost_usd)

    def beyond(self, other: "Spent") -> "Spent":
        """What there is of this more than of the other."""
        return Spent(max(0, self.tokens - other.tokens), max(0.0, self.cost_usd - other.cost_usd))


@dataclass(frozen=True)
class Limit:
    """How much may be spent; None is no limit."""

    tokens: int | None = None
    cost_usd: float | None = None

    @classmethod
    def of(cls, said: Mapping[str, Any] | None) -> "Limit":
        """The limit of a mapping with these names."""
        said = said or {}
        return cls(said.get("tokens"), said.get("cost_usd"))

    @property
    def is_set(self) -> bool:
        """Whether there is any."""
        return self.tokens is not None or self.cost_usd is not None

    def reached_by(self, spent: Spent) -> str | None:
        """The limit that `spent` has reached, in words; None while something is left."""
        if self.tokens is not None and spent.tokens >= self.tokens:
            return f"{self.tokens:,} tokens"
        if self.cost_usd is not None and spent.cost_usd >= self.cost_usd:
            return f"{self.cost_usd:g} USD"
        return None


@dataclass
class SpendFile:
    """A file of spent amounts, read on from where the last look ended.

    Attributes:
        by_trial: what each trial spent, of what was read.
    """

    path: Path
    total: Spent = Spent()
    by_trial: dict[str, Spent] = field(default_factory=dict)
    _offset: int = 0
    _n_lines: int = 0

    def read(self) -> Spent:
        """The total of the file as it stands now; nothing where there is none yet.

        Raises:
            UnreadableSpendError: a line is torn or no line of ours, or what was read before is gone. So it is at every
                look, until somebody has corrected the line, or for good.
            OSError: it cannot be read.
        """
        try:
            for line in self._new_lines():
                self._n_lines += 1
                trial, spent = self._parsed(line)
                self.by_trial[trial] = self.by_trial.get(trial, Spent()) + spent
                self.total += spent
        except _BadLineError:
            self._offset, self._n_lines, self.total, self.by_trial = 0, 0, Spent(), {}
            raise
        return self.total

    def _new_lines(self) -> list[bytes]:
        try:
            with self.path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH)  # writers hold it alone: whatever ends torn now stays so
                size = file.seek(0, 2)
                if size < self._offset:
                    raise UnreadableSpendError(f"{self.path} has become shorter")
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            if self._offset:
                raise UnreadableSpendError(f"{self.path} is gone") from None
            return []
        self._offset += len(data)
        return data.splitlines(keepends=True)

    def _parsed(self, line: bytes) -> tuple[str, Spent]:
        try:
            said = json.loads(line)
            trial, tokens, cost_usd = said["trial"], said["tokens"], said["cost_usd"]
            if not line.endswith(b"\n") or not isinstance(trial, str) or min(int(tokens), float(cost_usd)) < 0:
                raise ValueError
            return trial, Spent(int(tokens), float(cost_usd))
        except (ValueError, TypeError, KeyError):
            raise _BadLineError(f"{self.path}, line {self._n_lines} cannot be read") from None


def day_file(folder: Path, moment: datetime) -> Path:
    """Where the calls that end on the day of `moment`, which is in UTC, are written down."""
    return folder / f"{moment:%Y-%m-%d}.jsonl"
