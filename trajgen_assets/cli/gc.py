"""`trajgen gc`: give back disk that jobs which are over do not need."""

from datetime import timedelta
from typing import Annotated

import typer

from trajgen_assets.cli.state import state_of
from trajgen_assets.core.counting import count_of
from trajgen_assets.core.errors import ConfigError
from trajgen_assets.core.ledger.store import open_ledger
from trajgen_assets.core.rollout.compressing import plain_jobs

MB = 1_000_000


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("gc")(collect)


def collect(
    context: typer.Context,
    compress: Annotated[bool, typer.Option("--compress", help="Compress trajectories in place, as zstd.")] = False,
    older_than: Annotated[float, typer.Option(help="Only jobs that ended so many days ago.", min=0)] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")] = False,
) -> None:
    """Make the trajectories of jobs that are over small. Nothing is lost: all of trajgen reads both forms."""
    if not compress:
        raise ConfigError("gc does only what it is told", mend="add --compress, and --dry-run to see it first")
    root = state_of(context).root
    with open_ledger(root) as ledger:
        jobs = list(plain_jobs(root, ledger, older_than=timedelta(days=older_than)))
    for job in jobs:
        before = job.size_bytes
        if not dry_run:
            job.compress()
        done = "would be compressed" if dry_run else f"are {job.size_bytes / MB:,.2f} MB now"
        typer.echo(f"{job.name}: {count_of(len(job.trajectories), 'file')} of {before / MB:,.2f} MB {done}")
    if not jobs:
        typer.echo("nothing to compress")
