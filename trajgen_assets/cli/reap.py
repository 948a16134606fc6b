"""`trajgen reap JOB`: end what a dead job left running."""

from typing import Annotated

import typer

from trajgen_assets.cli import completing
from trajgen_assets.cli.jobs import refuse_unknown_job
from trajgen_assets.cli.state import state_of
from trajgen_assets.core.rollout.reap import reap


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("reap")(reap_job)


def reap_job(
    context: typer.Context,
    job: Annotated[str, typer.Argument(help="Name of the job.", autocompletion=completing.jobs)],
    force: Annotated[
        bool, typer.Option(help="Also while something holds its job slot, as a hung harness does.")
    ] = False,
) -> None:
    """End the processes, containers, networks and sandboxes that a dead job left behind; safe to repeat."""
    root = state_of(context).root
    refuse_unknown_job(root, job)
    typer.echo(f"{job}: {reap(root, job, force=force)}")
