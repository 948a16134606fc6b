"""`trajgen prepare-tasks`: register what is verified, and stage what is to be rolled out."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import dagster as dg
import typer

from resources.config_file import config_path
from resources.instance import open_instance
from trajgen_assets.cli import completing
from trajgen_assets.cli.earlier import unneeded
from trajgen_assets.cli.state import state_of
from trajgen_assets.core.counting import count_of
from trajgen_assets.core.errors import ManifestError, TaskError, TrajgenError
from trajgen_assets.core.exit_codes import EXIT_FAILED
from trajgen_assets.core.intake.registration import register_source
from trajgen_assets.core.intake.remote.fetch import fetch_each
from trajgen_assets.core.keys import MAIN_CAMPAIGN
from trajgen_assets.core.ledger.models import TaskFilter, TaskStatus
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.rollout.batch import stage_for
from trajgen_assets.partitions import show_new_partitions

OVERWRITE = unneeded("--overwrite", "a staged task that is not equal to its source is staged anew")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("prepare-tasks")(prepare_tasks)


def prepare_tasks(
    context: typer.Context,
    campaign: Annotated[
        str, typer.Option(help="Under which campaign to register.", autocompletion=completing.campaigns)
    ] = MAIN_CAMPAIGN,
    config: Annotated[Path | None, typer.Option(hidden=True)] = None,  # behind the command, as its script took it
    overwrite: Annotated[bool, OVERWRITE] = False,  # noqa: ARG001
) -> None:
    """Download what is not here, register what the manifests list, stage what is to be rolled out; roll out nothing."""
    state = state_of(context)
    state = state if config is None else replace(state, config=config_path(config))
    with state.platform() as platform, open_instance(state.root) as instance:
        problems = register_all(platform, campaign, instance, look_at_all=True)
        pending = platform.ledger.rows(TaskFilter(campaign=campaign, status=TaskStatus.PENDING))
        usable = [row for row in pending if row.eligible]
        n_staged = 0
        for row in usable:
            try:
                stage_for(platform, row)
                n_staged += 1
            except TaskError as error:
                problems += 1
                typer.echo(f"  {row.key.partition}: {error}", err=True)
        typer.echo(f"{count_of(n_staged, 'task')} staged under {platform.root.tasks}")
        if problems:
            raise typer.Exit(EXIT_FAILED)


def register_all(
    platform: Platform,
    campaign: str,
    instance: dg.DagsterInstance,
    *,
    look_at_all: bool = False,
    first: int | None = None,
) -> int:
    """Read every manifest into the ledger and show its tasks in Dagster; say what cannot be used, and why.

    Sources that are elsewhere are downloaded first, if they are not here.

    Returns:
        How many of them could not be.

    Raises:
        ManifestError: none of the manifests can be trusted.
    """
    n_failed = _download(platform)
    errors: list[ManifestError] = []
    for source in platform.config.sources():
        try:
            registration = register_source(platform.ledger, source, campaign, look_at_all=look_at_all, first=first)
        except ManifestError as error:
            errors.append(error)
            continue
        new = len(registration.result.new)
        typer.echo(f"{source.dataset}: {len(registration.manifest.entries)} listed, {new} new")
        for name, reason in registration.waiting.items():
            typer.echo(f"  {name} waits: {reason}")
        if pending := registration.manifest.pending_words:
            typer.echo(f"  {pending}")
    show_new_partitions(instance, platform.ledger)
    if errors and len(errors) == len(platform.config.sources()):
        raise errors[0]
    for each in errors:
        typer.echo(str(each), err=True)
    return n_failed


def _download(platform: Platform) -> int:
    failed = 0
    for each in fetch_each(platform.config.remotes(), platform.harbor_env, _to_stderr):
        if isinstance(each, TrajgenError):
            failed += 1
            _to_stderr(str(each))
        elif each.is_new:
            _to_stderr(f"{each.remote.words} is here: {each.remote.folder}")
    return failed


def _to_stderr(line: str) -> None:
    typer.echo(line, err=True)
