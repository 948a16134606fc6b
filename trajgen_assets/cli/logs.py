"""`trajgen logs` and `trajgen path`: what is on record of a task's trial, and where it lies."""

import time
from typing import Annotated

import typer

from resources.redaction import known_secrets
from trajgen_assets.cli import completing
from trajgen_assets.cli.state import State, state_of
from trajgen_assets.core.exit_codes import EXIT_FAILED
from trajgen_assets.core.keys import MAIN_CAMPAIGN
from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.ledger.models import TaskRow
from trajgen_assets.core.ledger.store import open_ledger
from trajgen_assets.core.report.places import TrialPlace, running_trial, trial_of
from trajgen_assets.core.report.trial_logs import LogLine, TrialLogs

LOOK_EVERY_S = 0.5

TaskName = Annotated[
    str,
    typer.Argument(
        metavar="TASK", help="Task id or DATASET/ID, either with @CAMPAIGN behind it.", autocompletion=completing.tasks
    ),
]
OfCampaign = Annotated[
    str, typer.Option("--campaign", help="Campaign of a bare id.", autocompletion=completing.campaigns)
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("logs")(logs)
    app.command("path")(path)


def logs(
    context: typer.Context,
    task: TaskName,
    campaign: OfCampaign = MAIN_CAMPAIGN,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the trial has ended.")] = False,
    job: Annotated[
        bool, typer.Option("--job", help="Also what proxy and Harbor printed for the whole job, other trials included.")
    ] = False,
) -> None:
    """Show what harness, proxy, agent and verifier wrote about a task's trial, in order of time.

    It is the trial that counts, else the one that runs, else the last. Each line has its origin. One without a time
    stands behind the one before it in its file; a file without any stands where it was last written.
    """
    state = state_of(context)
    with open_ledger(state.root) as ledger:
        (row,) = ledger.named([task], campaign)
        place = _awaited(state, ledger, row) if follow else trial_of(state.root, ledger, row)
        if place is None:
            typer.echo(f"{row.key.partition} has no trial yet: it is {row.status}", err=True)
            raise typer.Exit(EXIT_FAILED)
        typer.echo(f"{row.key.partition}: trial {place.trial} of job {place.job}", err=True)
        found = TrialLogs(place, with_job=job)
        while follow and not _is_over(ledger, place):
            _print(state, found.read())
            time.sleep(LOOK_EVERY_S)
        _print(state, found.read(final=True))


def path(context: typer.Context, task: TaskName, campaign: OfCampaign = MAIN_CAMPAIGN) -> None:
    """Print the folder of a task's trial and nothing else, for `cd "$(trajgen path TASK)"`."""
    root = state_of(context).root
    with open_ledger(root) as ledger:
        (row,) = ledger.named([task], campaign)
        place = trial_of(root, ledger, row)
    if place is None or not place.folder.is_dir():
        why = "it has no trial yet" if place is None else f"its folder is gone: {place.folder}"
        typer.echo(f"{row.key.partition}: {why}", err=True)
        raise typer.Exit(EXIT_FAILED)
    typer.echo(place.folder)


def _awaited(state: State, ledger: Ledger, row: TaskRow) -> TrialPlace | None:
    """The trial to follow: one that runs goes before what is over, and one that is about to begin is waited for."""
    while (place := running_trial(state.root, ledger, row)) is None and row.job is not None:
        time.sleep(LOOK_EVERY_S)
        row = ledger.task(row.key)
    return place or trial_of(state.root, ledger, row)


def _is_over(ledger: Ledger, place: TrialPlace) -> bool:
    if place.is_over or ledger.job(place.job).state.is_over:
        return True
    return any(attempt.trial_name == place.trial for _, attempt in ledger.job_attempts(place.job))


def _print(state: State, lines: list[LogLine]) -> None:
    secrets = known_secrets(state.config)
    for line in lines:
        typer.echo(line.shown(secrets.text))
