"""`trajgen exclude-list`: the tasks that are never assigned, and who says so."""

import json
from collections.abc import Iterator
from typing import Annotated

import typer

from trajgen_assets.cli import completing
from trajgen_assets.cli.state import State, state_of
from trajgen_assets.core.config.load import load_config
from trajgen_assets.core.errors import LedgerMissingError
from trajgen_assets.core.intake.exclusions import CONSUMED, Exclusion, exclusions
from trajgen_assets.core.keys import MAIN_CAMPAIGN
from trajgen_assets.core.ledger.looking import looking_at_ledger
from trajgen_assets.core.ledger.models import TaskFilter
from trajgen_assets.core.ledger.store import has_evidence


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("exclude-list")(exclude_list)


def exclude_list(
    context: typer.Context,
    campaign: Annotated[
        str, typer.Option(help="Whose consumed tasks.", autocompletion=completing.campaigns)
    ] = MAIN_CAMPAIGN,
    dataset: Annotated[
        str | None, typer.Option(help="Consumed tasks of this data set only.", autocompletion=completing.datasets)
    ] = None,
    ledger: Annotated[bool, typer.Option(help="Also what the ledger holds for done, failed or skipped.")] = True,
    why: Annotated[bool, typer.Option("--why", help="Also each place that names the task.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, from task to places.")] = False,
) -> None:
    """Print the tasks that are never assigned, one a line: excluded by a list, or consumed already.

    Lists are excluded_tasks.txt beside the configuration, and the tokens of HARBOR_EXCLUDE_TASKS in it and in the
    environment. One that is missing or broken is an error.
    """
    state = state_of(context)
    found = exclusions(load_config(state.config), state.root)
    if ledger:
        found += consumed(state, campaign, dataset)
    places: dict[str, list[str]] = {}
    for each in found:
        places.setdefault(each.task_id, []).append(each.source)
    if as_json:
        typer.echo(json.dumps(places, indent=2, ensure_ascii=False))
        return
    for task_id, sources in places.items():
        typer.echo(f"{task_id}  # {'; '.join(sources)}" if why else task_id)


def consumed(state: State, campaign: str, dataset: str | None) -> Iterator[Exclusion]:
    """The tasks of a campaign that are over.

    Raises:
        LedgerError: it cannot be read, or is missing where something was consumed.
    """
    try:
        with looking_at_ledger(state.root) as ledger:
            rows = ledger.rows(TaskFilter(campaign=campaign, dataset=dataset))
    except LedgerMissingError:
        if has_evidence(state.root):
            raise
        typer.echo(f"note: nothing was consumed under {state.root.path} yet: it has no ledger", err=True)
        return
    for row in rows:
        if row.status in CONSUMED:
            yield Exclusion(row.task_id, f"ledger: {row.key.partition} is {row.status.value}")
