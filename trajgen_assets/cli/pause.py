"""`trajgen pause` and `trajgen resume`: whether new jobs may begin."""

from typing import Annotated

import typer

from trajgen_assets.cli import completing
from trajgen_assets.cli.ledger.asking import publish
from trajgen_assets.cli.state import State, state_of
from trajgen_assets.cli.stop import this_person
from trajgen_assets.core.config.config import Config
from trajgen_assets.core.ledger.models import JobState
from trajgen_assets.core.ledger.store import open_ledger
from trajgen_assets.core.report.standing import configured

OfDataset = Annotated[
    str | None,
    typer.Option("--dataset", help="Only this data set. Default: every one.", autocompletion=completing.datasets),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("pause")(pause)
    app.command("resume")(resume)


def pause(
    context: typer.Context,
    dataset: OfDataset = None,
    reason: Annotated[str, typer.Option(help="Why; it is shown wherever something waits for it.")] = "",
) -> None:
    """Begin no new job, neither by the sensor nor by a click or `start`, until `trajgen resume`. What runs goes on."""
    state = state_of(context)
    _check_dataset(state, dataset)
    with open_ledger(state.root) as ledger:
        typer.echo(ledger.pause(dataset or "", this_person(), reason).words)
        running = [job.name for job in ledger.jobs(JobState.RUNNING) if dataset in (None, job.dataset)]
        for name in running:
            typer.echo(f"{name} goes on; `trajgen stop {name}` ends it, with --drain after the trials that run")
        publish(state, ledger)


def resume(context: typer.Context, dataset: OfDataset = None) -> None:
    """Let new jobs begin again: lift the pause of a data set, or every pause that a person made."""
    state = state_of(context)
    _check_dataset(state, dataset)
    with open_ledger(state.root) as ledger:
        lifted = ledger.resume(dataset or "")
        for each in lifted:
            typer.echo(f"lifted: {each.words}")
        if not lifted:
            typer.echo("nothing was paused" + (f" for {dataset} alone" if dataset else ""))
        if dataset is not None and (other := ledger.pause_of(dataset)) is not None:
            typer.echo(f"{dataset} still gets no job: {other.words}; {other.mend}")
        publish(state, ledger)


def _check_dataset(state: State, dataset: str | None) -> None:
    """Refuse a data set that is not configured; while the configuration cannot be read, any name is taken.

    Raises:
        ConfigError
    """
    config = configured(state.config)
    if dataset is not None and isinstance(config, Config):
        config.source(dataset)
