"""Which tasks a command of the ledger is about, and the word of a person before it changes anything."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer

from trajgen_assets.cli import completing
from trajgen_assets.cli.ledger.show import task_table
from trajgen_assets.cli.state import State, console
from trajgen_assets.core.counting import count_of
from trajgen_assets.core.errors import ConfigError
from trajgen_assets.core.exit_codes import EXIT_FAILED
from trajgen_assets.core.keys import MAIN_CAMPAIGN
from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.ledger.models import TaskFilter, TaskRow, TaskStatus
from trajgen_assets.core.ledger.view import PublishedView
from trajgen_assets.core.report.standing import configured, publish_standing

N_SHOWN = 20

Tasks = Annotated[
    list[str] | None,
    typer.Argument(
        help="Task ids, or keys DATASET/ID, of another campaign DATASET/ID@CAMPAIGN.",
        show_default=False,
        autocompletion=completing.tasks,
    ),
]
OfCampaign = Annotated[
    str | None,
    typer.Option("--campaign", help="Only this campaign; of a bare id: main.", autocompletion=completing.campaigns),
]
OfDataset = Annotated[
    str | None, typer.Option("--dataset", help="Only this data set.", autocompletion=completing.datasets)
]
OfStatus = Annotated[TaskStatus | None, typer.Option("--status", help="Only tasks that stand so.")]
OfCause = Annotated[str | None, typer.Option("--cause", help="Only tasks whose last attempt ended by this cause.")]
OfJob = Annotated[
    str | None, typer.Option("--job", help="Only tasks that were ever in this job.", autocompletion=completing.jobs)
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object; needs --yes or --dry-run.")]


def selected(ledger: Ledger, names: Sequence[str] | None, which: TaskFilter) -> list[TaskRow]:
    """The tasks named, or else those that match; with both, those named that match.

    Raises:
        ConfigError: neither is given. A slip must not change every task.
        UnknownNameError: a name is unknown or ambiguous.
    """
    if not names and which == TaskFilter():
        raise ConfigError("no task is named", mend="name tasks, or choose them by --status, --cause, --job, --dataset")
    if not names:
        return ledger.rows(which)
    rows = ledger.named(names, which.campaign or MAIN_CAMPAIGN)
    if which == TaskFilter(campaign=which.campaign):
        return rows
    matching = {row.position for row in ledger.rows(which)}
    return [row for row in rows if row.position in matching]


def check_choices(*, yes: bool, dry_run: bool, as_json: bool) -> None:
    """Refuse a call that would have to ask where nobody can answer.

    Raises:
        ConfigError
    """
    if yes or dry_run:
        return
    if as_json:
        raise ConfigError("with --json nobody is asked", mend="add --yes, or --dry-run to see what would change")
    if not sys.stdin.isatty():
        raise ConfigError("this would ask before it changes anything", mend="add --yes where there is no terminal")


def agreed(question: str, *, yes: bool) -> None:
    """Go on only if a person says so; otherwise the command ends here with nothing changed."""
    if not yes and not typer.confirm(question):
        typer.echo("nothing was changed", err=True)
        raise typer.Exit(EXIT_FAILED)


def show_change(verb: str, rows: Sequence[TaskRow], left: Mapping[str, str]) -> None:
    """What would change, as a table, and what is left alone and why."""
    if rows:
        console.print(task_table(rows[:N_SHOWN]))
    if len(rows) > N_SHOWN:
        typer.echo(f"… and {len(rows) - N_SHOWN} more")
    for name, reason in list(left.items())[:N_SHOWN]:
        typer.echo(f"{name} is left alone: {reason}")
    if len(left) > N_SHOWN:
        typer.echo(f"… and {len(left) - N_SHOWN} more are left alone")
    typer.echo(f"{count_of(len(rows), 'task')} to {verb}")


def say_json(rows: Sequence[TaskRow], left: Mapping[str, str], *, dry_run: bool, **more: Any) -> None:
    """The same for a program: tasks as they are now, or with `dry_run` as they were found."""
    said = {"dry_run": dry_run, "tasks": [asdict(row) for row in rows], "left_alone": dict(left)} | more
    typer.echo(json.dumps(said, default=str))


def publish(state: State, ledger: Ledger) -> None:
    """Bring the published view and `status.yaml` in line with what was just decided."""
    PublishedView(ledger, state.root).refresh(force=True)
    publish_standing(state.root, ledger, configured(state.config))
