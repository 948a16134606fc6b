"""The facts as one SQLite file, for whoever would rather ask than read: `datasette FILE`, or `sqlite3 FILE`.

It holds what the pages are made of and no text of a trajectory. Tables and columns are described in the file itself, in
the table `columns`.
"""

import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from trajgen_assets.core.dashboard.facts.funnel import TaskFacts
from trajgen_assets.core.dashboard.facts.models import JobSummary, Trial
from trajgen_assets.core.dashboard.facts.scene import Scene, looking_at
from trajgen_assets.core.errors import DashboardError
from trajgen_assets.core.paths import Root
from trajgen_assets.core.redact import Redactor
from trajgen_assets.core.report.archive.index import read_runs
from trajgen_assets.core.report.archive.models import RunRow

APPLICATION_ID = 0x54524442  # "TRDB"
Values = Iterable[Any]

JOBS = {
    "name": ("TEXT PRIMARY KEY", "the job"),
    "dataset": ("TEXT", "the data set of its tasks"),
    "campaign": ("TEXT", "the campaign; `smoke` counts towards nothing"),
    "state": ("TEXT", "by the ledger; null: the ledger does not know it"),
    "scaffold": ("TEXT", "the agent harness"),
    "agent": ("TEXT", "as Harbor names it, with its version"),
    "model": ("TEXT", "provider/name"),
    "started_at": ("TEXT", "UTC"),
    "finished_at": ("TEXT", "UTC"),
    "n_tasks": ("INTEGER", "tasks that it was given"),
    "n_trials": ("INTEGER", "trials that ended"),
    "n_graded": ("INTEGER", "of these with a reward that counts"),
    "n_resolved": ("INTEGER", "of these with a reward of 1"),
    "mean_reward": ("REAL", "over graded trials; null: there is none"),
    "n_infrastructure": ("INTEGER", "trials that infrastructure ended; no unsolved ones"),
    "n_tokens": ("INTEGER", "input and output of the trials that tell"),
    "cost_usd": ("REAL", "of the trials that have a price"),
    "n_rows": ("INTEGER", "rows kept in its training data; null: not converted"),
}
TASKS = {
    "key": ("TEXT PRIMARY KEY", "as Dagster's partition"),
    "dataset": ("TEXT", "the data set"),
    "campaign": ("TEXT", "the campaign"),
    "task_id": ("TEXT", "the task"),
    "status": ("TEXT", "pending, running, done, failed or skipped"),
    "stage": ("TEXT", "how far it came on its way into a data set"),
    "why_not_further": ("TEXT", "null: it is in a data set"),
    "reward": ("REAL", "of the attempt that counts"),
    "n_attempts": ("INTEGER", "attempts that ended"),
    "last_cause": ("TEXT", "why the last attempt gave no result"),
    "note": ("TEXT", "what a person or the system says of it"),
    "registered_at": ("TEXT", "UTC"),
    "completed_at": ("TEXT", "UTC"),
}
TRIALS = {
    "job": ("TEXT REFERENCES jobs(name)", "the job"),
    "trial": ("TEXT", "the trial's folder within the job's"),
    "task": ("TEXT", "key of the task; of smoke tests and unknown jobs it is not among the tasks"),
    "attempt": ("INTEGER", "ordinal over all jobs"),
    "outcome": ("TEXT", "resolved, partial, unsolved; agent, capture, outside: no result; superseded"),
    "accepted": ("INTEGER", "1: it is the attempt that counts"),
    "reward": ("REAL", "the verifier's number; null: none that measures the agent"),
    "cause": ("TEXT", "why it gave no result"),
    "note": ("TEXT", "the same in a line"),
    "capture": ("TEXT", "complete, cut or gap"),
    "n_input_tokens": ("INTEGER", "null: not known"),
    "n_output_tokens": ("INTEGER", "null: not known"),
    "n_cache_tokens": ("INTEGER", "among the input"),
    "cost_usd": ("REAL", "null: no price is known"),
    "started_at": ("TEXT", "UTC"),
    "duration_s": ("REAL", "the whole trial"),
    "language": ("TEXT", "by the task's own metadata"),
    "difficulty": ("TEXT", "by the task's own metadata"),
    "category": ("TEXT", "by the task's own metadata"),
    "n_rows": ("INTEGER", "rows kept of it; null: not converted"),
    "left_out_for": ("TEXT", "why no row was kept of it"),
}
RUNS = {
    "id": ("TEXT PRIMARY KEY", "number in the archive"),
    "job": ("TEXT", "the job"),
    "status": ("TEXT", "completed, failed, interrupted or refused"),
    "started_at": ("TEXT", "UTC"),
    "completed_at": ("TEXT", "UTC"),
    "n_trials": ("INTEGER", "trials that ended"),
    "n_accepted": ("INTEGER", "of these with a result that counts"),
    "mean_reward": ("REAL", "over these"),
    "cost_usd": ("REAL", "of the trials that have a price"),
    "notes": ("TEXT", "what went wrong, if anything"),
}
TABLES = {"jobs": JOBS, "tasks": TASKS, "trials": TRIALS, "runs": RUNS}
INDEXES = ("trials(task)", "trials(outcome)", "trials(job, trial)", "tasks(dataset, task_id)", "tasks(stage)")


@dataclass(frozen=True)
class Database:
    """A file that was written: how many rows each of its tables has."""

    path: Path
    n_rows: dict[str, int]


def write_database(root: Root, path: Path, redactor: Redactor) -> Database:
    """Write the facts about `root` to `path`, at once, over an earlier such file. Texts lose known secrets.

    Raises:
        DashboardError: at `path` lies something else.
        OSError: it cannot be written.
    """
    _refuse_other_files(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    fd, temp_name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.", suffix=".tmp")
    os.close(fd)
    try:
        with looking_at(root) as scene, closing(sqlite3.connect(temp_name)) as conn:
            n_rows = _fill(conn, scene, redactor.text)
        Path(temp_name).chmod(0o644)
        os.replace(temp_name, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temp_name)
        raise
    return Database(path, n_rows)


def _fill(conn: sqlite3.Connection, scene: Scene, clean: Callable[[str], str]) -> dict[str, int]:
    conn.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    conn.execute("CREATE TABLE columns (tbl TEXT, name TEXT, meaning TEXT)")
    rows = {
        "jobs": map(_job, scene.jobs),
        "tasks": map(_task, scene.tasks()),
        "trials": (_trial(trial) for job in scene.jobs for trial in scene.job(job.name).trials),
        "runs": map(_run, read_runs(scene.root).rows),
    }
    for table, columns in TABLES.items():
        conn.execute(f"CREATE TABLE {table} ({', '.join(f'{name} {kind}' for name, (kind, _) in columns.items())})")
        said = ((table, name, meaning) for name, (_, meaning) in columns.items())
        conn.executemany("INSERT INTO columns VALUES (?, ?, ?)", said)
        marks = ", ".join("?" * len(columns))
        conn.executemany(f"INSERT INTO {table} VALUES ({marks})", (_stored(row, clean) for row in rows[table]))  # noqa: S608  our own names
    for index in INDEXES:
        conn.execute(f"CREATE INDEX {''.join(c if c.isalnum() else '_' for c in f'ix_{index}')} ON {index}")
    conn.commit()
    return {table: conn.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in TABLES}  # noqa: S608  our own names


def _stored(row: Values, clean: Callable[[str], str]) -> tuple[Any, ...]:
    return tuple(_value(each, clean) for each in row)


def _value(value: Any, clean: Callable[[str], str]) -> Any:
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    if isinstance(value, str):
        return clean(str(value)).encode("utf-8", "backslashreplace").decode()
    return value


def _job(job: JobSummary) -> Values:
    figures = job.figures
    head = (job.name, job.dataset, job.campaign, job.state, job.scaffold, job.agent, job.model)
    counts = (job.n_tasks, figures.n_trials, figures.n_graded, figures.n_resolved, figures.mean_reward)
    rest = (figures.n_outside, figures.n_tokens, figures.cost_usd, job.data.n_rows_kept if job.data else None)
    return *head, job.started_at, job.finished_at, *counts, *rest


def _task(task: TaskFacts) -> Values:
    row, reached = task.row, task.reached
    head = (row.key.partition, row.dataset, row.campaign, row.task_id, row.status)
    told = (reached.stage.label, reached.why_not_further, row.reward, len(task.attempts), row.last_cause)
    return *head, *told, row.note or row.ineligible_reason, row.registered_at, row.completed_at


def _trial(trial: Trial) -> Values:
    own = ("job", "name", "task_key", "attempt", "outcome", "accepted", "reward", "cause", "note", "capture",
           "n_input_tokens", "n_output_tokens", "n_cache_tokens", "cost_usd", "started_at", "duration_s", "language",
           "difficulty", "category")  # fmt: skip
    data = trial.converted
    return *(getattr(trial, name) for name in own), data.n_rows if data else None, data.reason if data else None


def _run(run: RunRow) -> Iterator[Any]:
    return (getattr(run, name) for name in RUNS)


def _refuse_other_files(path: Path) -> None:
    try:
        head = path.open("rb").read(72)
    except FileNotFoundError:
        return
    except IsADirectoryError:
        raise DashboardError("a folder is in the place of a file", where=path, mend="name a file in it") from None
    if head[:16] != b"SQLite format 3\0" or int.from_bytes(head[68:72]) != APPLICATION_ID:
        mend = "name a file that is not there yet, or one that this command wrote"
        raise DashboardError("there is another file already", where=path, mend=mend)
