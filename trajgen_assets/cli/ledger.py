"""`trajgen ledger`: what was consumed, and how it ended."""

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from trajgen_assets.cli.state import console, state_of
from trajgen_assets.core.ledger.models import Counts, TaskFilter, TaskRow, TaskStatus
from trajgen_assets.core.ledger.store import open_ledger

app = typer.Typer(no_args_is_help=True)


@app.callback()
def group() -> None:
    """Look into the ledger."""


@app.command("show")
def show(
    context: typer.Context,
    campaign: Annotated[str | None, typer.Option(help="Only this campaign.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Only this data set.")] = None,
    status: Annotated[TaskStatus | None, typer.Option(help="Only tasks that stand so.")] = None,
    cause: Annotated[str | None, typer.Option(help="Only tasks whose last attempt ended by this cause.")] = None,
    job: Annotated[str | None, typer.Option(help="Only tasks that were ever in this job.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Show tasks with status, reward, attempts and the reason where there is one; the counts always add up."""
    with open_ledger(state_of(context).root) as ledger:
        rows = ledger.rows(TaskFilter(campaign=campaign, dataset=dataset, status=status, cause=cause, job=job))
        if as_json:
            for row in rows:
                typer.echo(json.dumps(asdict(row), default=str))
            return
        console.print(_table(rows))
        console.print(balance_line(ledger.check_balance()))


def balance_line(counts: Counts) -> str:
    """The balance in words."""
    return (
        f"{counts.registered} registered = {counts.pending} pending + {counts.running} running + {counts.done} done + "
        f"{counts.failed} failed + {counts.skipped} skipped"
    )


def _table(rows: list[TaskRow]) -> Table:
    table = Table("task", "status", "reward", "attempts", "why", box=None, pad_edge=False)
    for row in rows:
        reward = "-" if row.reward is None else f"{row.reward:g}"
        table.add_row(row.key.partition, row.status.value, reward, str(row.n_attempts), why(row))
    return table


def why(row: TaskRow) -> str:
    """The reason for where a task stands, where it has one."""
    if row.status is TaskStatus.PENDING and not row.eligible:
        return f"waits: {row.ineligible_reason}"
    if row.status is TaskStatus.PENDING and row.job:
        return f"assigned to {row.job}"
    cause = f"last attempt: {row.last_cause}" if row.last_cause and row.status is not TaskStatus.DONE else ""
    return "; ".join(part for part in (cause, row.note or "") if part)
