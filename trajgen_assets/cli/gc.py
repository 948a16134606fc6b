"""`trajgen gc`: give back disk that jobs which are over do not need, and training data that was made anew."""

from contextlib import nullcontext
from datetime import timedelta
from functools import partial
from typing import Annotated

import typer

from trajgen_assets.cli.clean_jobs import clean_jobs
from trajgen_assets.cli.ledger.asking import Yes, check_choices
from trajgen_assets.cli.resting import configuration, resting
from trajgen_assets.cli.state import State, state_of
from trajgen_assets.core.clean.jobs import old_jobs
from trajgen_assets.core.counting import count_of
from trajgen_assets.core.errors import ConfigError
from trajgen_assets.core.ledger.store import open_ledger
from trajgen_assets.core.paths import Root
from trajgen_assets.core.rollout.compressing import plain_jobs
from trajgen_assets.core.sft.superseded import superseded_versions

MB = 1_000_000


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("gc")(collect)


def collect(
    context: typer.Context,
    compress: Annotated[bool, typer.Option("--compress", help="Compress trajectories in place, as zstd.")] = False,
    versions: Annotated[
        bool,
        typer.Option("--versions", help="Delete training data that a later conversion replaced and no data set is of."),
    ] = False,
    jobs: Annotated[
        bool, typer.Option("--jobs", help="Remove trials of the oldest jobs, as `trajgen clean --jobs` does.")
    ] = False,
    keep_gb: Annotated[
        float | None, typer.Option(help="With --jobs: only until the trials of all jobs take so many GB.", min=0)
    ] = None,
    older_than: Annotated[float, typer.Option(help="Only jobs that ended so many days ago.", min=0)] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")] = False,
    yes: Yes = False,
) -> None:
    """Make what jobs that are over have left smaller: their trajectories, and versions of their training data.

    Compressing loses nothing: all of trajgen reads both forms. A version that went can be made again.
    """
    if not (compress or versions or jobs):
        mend = "add --compress, --versions or --jobs, and --dry-run to see it first"
        raise ConfigError("gc does only what it is told", mend=mend)
    state = state_of(context)
    root, age = state.root, timedelta(days=older_than)
    if jobs:
        _delete_jobs(state, age, keep_gb, dry_run=dry_run, yes=yes)
    if compress:
        _compress(root, age, dry_run=dry_run)
    if versions:
        _delete_versions(root, age, dry_run=dry_run)


def _delete_jobs(state: State, age: timedelta, keep_gb: float | None, *, dry_run: bool, yes: bool) -> None:
    check_choices(yes=yes, dry_run=dry_run, as_json=False)
    keep_bytes = None if keep_gb is None else int(keep_gb * 1000 * MB)
    choice = partial(old_jobs, state.root, older_than=age, keep_bytes=keep_bytes)
    with nullcontext() if dry_run else resting(state, configuration(state)):
        clean_jobs(state.root, choice, dry_run=dry_run, force=False, yes=yes, as_json=False, named=False)


def _compress(root: Root, age: timedelta, *, dry_run: bool) -> None:
    with open_ledger(root) as ledger:
        jobs = list(plain_jobs(root, ledger, older_than=age))
    for job in jobs:
        before = job.size_bytes
        if not dry_run:
            job.compress()
        done = "would be compressed" if dry_run else f"are {job.size_bytes / MB:,.2f} MB now"
        typer.echo(f"{job.name}: {count_of(len(job.trajectories), 'file')} of {before / MB:,.2f} MB {done}")
    if not jobs:
        typer.echo("nothing to compress")


def _delete_versions(root: Root, age: timedelta, *, dry_run: bool) -> None:
    jobs = list(superseded_versions(root, older_than=age))
    done = "would be deleted" if dry_run else "deleted"
    for job in jobs:
        size = job.size_bytes / MB
        if not dry_run:
            job.delete(root)
        typer.echo(f"{job.job}: {count_of(len(job.folders), 'version')} of {size:,.2f} MB {done}")
        for name, why in job.kept.items():
            typer.echo(f"  {name} stays: {why}")
    if not jobs:
        typer.echo("no training data was replaced")
