"""How a job ended, in a table and a few lines, and the exit code that says so."""

import typer
from rich.table import Table

from trajgen_assets.cli.state import console
from trajgen_assets.core.capture.stored import stored
from trajgen_assets.core.exit_codes import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, EXIT_REFUSED
from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.ledger.models import JobRow, JobState, TaskRow
from trajgen_assets.core.paths import JobPaths, Root
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.report.job_checks import why_blocked
from trajgen_assets.core.rollout.trials import load_trials
from trajgen_assets.core.sft.receipt import load_receipt
from trajgen_assets.core.sft.scaffolds import why_no_data


def conclude(platform: Platform, job: JobRow) -> int:
    """Print how a job ended and where everything lies. Returns the exit code."""
    files = platform.root.job(job.name)
    if job.state is JobState.REFUSED:
        typer.echo(f"refused, and no task was consumed: {job.note}", err=True)
        return EXIT_REFUSED
    console.print(task_table(platform.root, platform.ledger, job.name))
    for label, path in (("result", files.result), ("trials", files.trials)):
        if path.exists():
            console.print(f"{label}: {path}")
    if said := _said_of_data(platform, files):
        console.print(f"data: {said}")
    if job.state is not JobState.FINISHED:
        typer.echo(f"the job is {job.state.value}: {job.note}", err=True)
        return EXIT_INTERRUPTED if job.state is JobState.INTERRUPTED else EXIT_FAILED
    return EXIT_OK if all_accepted(platform, job.name) else EXIT_FAILED


def _said_of_data(platform: Platform, files: JobPaths) -> str | None:
    """Where a job's training data lies, or why there is none; None where nobody asked for any."""
    if (receipt := load_receipt(files.sft)) is not None:
        return f"none, {receipt.why_empty}" if receipt.why_empty else str(files.sft)
    if not platform.config.runtime_info.input.sft_conversion.enabled or not files.trials.exists():
        return None
    trials = load_trials(files.trials)
    why = why_no_data(trials) or why_blocked(files, trials)
    return f"none, {why}" if why else None


def all_accepted(platform: Platform, job: str) -> bool:
    """Whether every task of a job got a valid result from it."""
    accepted = {key for key, attempt in platform.ledger.job_attempts(job) if attempt.accepted}
    return all(row.key in accepted for row in platform.ledger.tasks_of_job(job))


def task_table(root: Root, ledger: Ledger, job: str) -> Table:
    """One row for each task of a job."""
    attempts = dict(ledger.job_attempts(job))
    table = Table("task", "status", "reward", "tokens", box=None, pad_edge=False)
    table.add_column(f"trajectory, in jobs/{job}/", overflow="fold")
    for row in ledger.tasks_of_job(job):
        attempt = attempts.get(row.key)
        tokens = (attempt.n_input_tokens or 0) + (attempt.n_output_tokens or 0) if attempt else 0
        status = row.status.value + (f" ({row.last_cause})" if row.last_cause and row.reward is None else "")
        reward = "-" if row.reward is None else f"{row.reward:g}"
        table.add_row(row.task_id, status, reward, f"{tokens:,}", _place_of(root, row).removeprefix(f"jobs/{job}/"))
    return table


def _place_of(root: Root, row: TaskRow) -> str:
    """Where the task's trajectory lies, in whichever form, relative to the root."""
    if row.trajectory_path is None:
        return "-"
    found = stored(root.path / row.trajectory_path)
    return str(found.relative_to(root.path)) if found else row.trajectory_path
