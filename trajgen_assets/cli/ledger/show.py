"""`trajgen ledger show`: what was consumed, and how it ended."""

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from trajgen_assets.cli import completing
from trajgen_assets.cli.state import State, console, state_of
from trajgen_assets.core.config.load import load_config
from trajgen_assets.core.errors import ConfigError
from trajgen_assets.core.intake.exclusions import FILE_NAME, excluded_ids
from trajgen_assets.core.ledger.models import Counts, TaskFilter, TaskRow, TaskStatus
from trajgen_assets.core.ledger.store import open_ledger


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("show")(show)


def show(
    context: typer.Context,
    campaign: Annotated[
        str | None, typer.Option(help="Only this campaign.", autocompletion=completing.campaigns)
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Only this data set.", autocompletion=completing.datasets)] = None,
    status: Annotated[TaskStatus | None, typer.Option(help="Only tasks that stand so.")] = None,
    cause: Annotated[str | None, typer.Option(help="Only tasks whose last attempt ended by this cause.")] = None,
    job: Annotated[
        str | None, typer.Option(help="Only tasks that were ever in this job.", autocompletion=completing.jobs)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Show tasks with status, reward, attempts and the reason where there is one; the counts always add up."""
    state = state_of(context)
    with open_ledger(state.root) as ledger:
        rows = ledger.rows(TaskFilter(campaign=campaign, dataset=dataset, status=status, cause=cause, job=job))
        if as_json:
            for row in rows:
                typer.echo(json.dumps(asdict(row), default=str))
            return
        console.print(task_table(rows, excluded=excluded_by(state)))
        counts = ledger.check_balance()
        console.print(balance_line(counts))
        if parts := parts_line(counts):
            console.print(f"of these {parts}")


def balance_line(counts: Counts) -> str:
    """The balance in words."""
    return (
        f"{counts.registered} registered = {counts.pending} pending + {counts.running} running + {counts.done} done + "
        f"{counts.failed} failed + {counts.skipped} skipped"
    )


def parts_line(counts: Counts) -> str:
    """What is shown apart: parts of the numbers in the balance, where there are any."""
    parts = {
        "imported": counts.imported,
        "revoked": counts.revoked,
        "duplicates": counts.duplicate,
        "changed since they were rolled out": counts.changed,
        "in no manifest": counts.unlisted,
    }
    return ", ".join(f"{number} {name}" for name, number in parts.items() if number)


def excluded_by(state: State) -> frozenset[str]:
    """Ids that the lists of excluded tasks name; none where the configuration cannot be read, as before `init`."""
    try:
        return excluded_ids(load_config(state.config), state.root)
    except ConfigError:
        return frozenset()


def task_table(rows: Sequence[TaskRow], *, excluded: Collection[str] = ()) -> Table:
    """One row for each task. Tasks that are pending and `excluded` say so."""
    table = Table("task", "status", "reward", "attempts", "why", box=None, pad_edge=False)
    for row in rows:
        reward = "-" if row.reward is None else f"{row.reward:g}"
        status = f"{row.status.value} (imported)" if row.imported else row.status.value
        table.add_row(row.key.partition, status, reward, str(row.n_attempts), why(row, excluded=excluded))
    return table


def why(row: TaskRow, *, excluded: Collection[str] = ()) -> str:
    """The reason for where a task stands, where it has one."""
    if row.status is TaskStatus.PENDING and row.task_id in excluded:
        return f"excluded ({FILE_NAME} or HARBOR_EXCLUDE_TASKS)"
    if row.status is TaskStatus.PENDING and not row.eligible:
        return f"waits: {row.ineligible_reason}"
    if row.status is TaskStatus.PENDING and row.job:
        return f"assigned to {row.job}"
    cause = f"last attempt: {row.last_cause}" if row.last_cause and row.status is not TaskStatus.DONE else ""
    return "; ".join(part for part in (cause, row.note or "") if part)
