"""The rows that a page's script looks through: one line a row, in files that are loaded when they are needed."""

from collections.abc import Container, Iterator
from typing import Any

from trajgen_assets.core.dashboard import places
from trajgen_assets.core.dashboard.facts.rows import RejectedTrial, RowFacts
from trajgen_assets.core.dashboard.render import SiteFile, data_file

ROWS_PER_FILE = 5_000
COLUMNS = (
    "page", "task", "conversation", "language", "agent", "turns", "tokens", "score", "calls", "errors", "flags",
    "reward", "reason", "detail",
)  # fmt: skip
DETAIL_CHARS = 200


class Listing:
    """The rows of one folder of training data, below `data/<name>~rows-N.js`."""

    def __init__(self, name: str, job: str | None, trials: Container[tuple[str, str]]) -> None:
        self._name, self._job, self._trials = name, job, trials
        self._rows: list[list[Any]] = []
        self.n_files = 0

    def add(self, row: RowFacts | RejectedTrial) -> Iterator[SiteFile]:
        """Take in a row, and yield the file that it fills."""
        job = self._job if isinstance(row, RejectedTrial) else row.job
        page = places.trial_page(job, row.trial) if job and row.trial and (job, row.trial) in self._trials else None
        self._rows.append([page, *(_of_trial(row) if isinstance(row, RejectedTrial) else _of_row(row))])
        if len(self._rows) == ROWS_PER_FILE:
            yield self._file()

    def rest(self) -> Iterator[SiteFile]:
        """Yield the last file."""
        if self._rows:
            yield self._file()

    def _file(self) -> SiteFile:
        file = data_file(f"{self._name}~rows-{self.n_files}", self._rows)
        self.n_files += 1
        self._rows = []
        return file


def _of_row(row: RowFacts) -> list[Any]:
    return [
        row.task_id,
        row.conversation,
        row.language,
        row.agent_type,
        row.n_turns,
        row.n_tokens,
        row.score,
        row.n_calls,
        row.n_errors,
        None if row.leaks is None else len(row.leaks),
        row.reward,
        row.reason,
        _short(row.detail),
    ]


def _of_trial(trial: RejectedTrial) -> list[Any]:
    unknown = [None] * (len(COLUMNS) - 4)
    return [trial.task_id, *unknown, trial.reason, _short(trial.detail)]


def _short(text: str | None) -> str | None:
    return text if text is None or len(text) <= DETAIL_CHARS else f"{text[:DETAIL_CHARS]}…"
