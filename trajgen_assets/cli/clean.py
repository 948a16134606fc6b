"""`trajgen clean`: remove what can be made again; never what was paid for, and never what says that it was."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import typer

from trajgen_assets.cli.earlier import refused
from trajgen_assets.cli.state import State, state_of
from trajgen_assets.core.clean.at_rest import at_rest
from trajgen_assets.core.clean.outputs import Output, find_outputs, remove_output
from trajgen_assets.core.clean.trees import Size
from trajgen_assets.core.config.config import Config
from trajgen_assets.core.config.load import load_config
from trajgen_assets.core.counting import count_of
from trajgen_assets.core.errors import RefusedError
from trajgen_assets.core.exit_codes import EXIT_REFUSED

MB = 1_000_000
OUTPUTS = refused("--outputs", "jobs are paid for, and staged tasks go anyway", "leave it out")
REPOS = refused("--repos", "checkouts are no output", "`trajgen update-repos` brings them to their pins")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("clean")(clean)


def clean(
    context: typer.Context,
    data_sets: Annotated[
        bool, typer.Option("--data-sets", help="Also data sets of several jobs, and what they were made of.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only show what would be removed.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    outputs: Annotated[bool, OUTPUTS] = False,  # noqa: ARG001
    repos: Annotated[bool, REPOS] = False,  # noqa: ARG001
) -> None:
    """Remove training data, the dashboard, proxy files, logs and staged tasks: all that can be made again.

    Never jobs, ledger, DAGSTER_HOME, archives, index, exclusions, or what git tracks. Nothing is followed out of the
    root. It is refused while a job runs or data is being made.
    """
    state = state_of(context)
    config = configuration(state)
    if dry_run:
        _show(find_outputs(state.root, config, data_sets=data_sets), state, as_json=as_json, done="would be removed")
        return
    with resting(state, config):
        found = find_outputs(state.root, config, data_sets=data_sets)
        going = [each for each in found if each.left is None]
        if going and not as_json:
            _show(found, state, as_json=False, done="to be removed")
        if going:
            confirm("remove it?", yes=yes or as_json)
        for each in going:
            remove_output(each)
        _show(found, state, as_json=as_json, done="removed") if as_json or not going else typer.echo(
            f"removed: {said(total(going))}"
        )


def configuration(state: State) -> Config | None:
    """The configuration, if there is one.

    Raises:
        ConfigError: there is one that cannot be read, so that nobody can tell what it names.
    """
    return load_config(state.config) if state.config.exists() else None


@contextmanager
def resting(state: State, config: Config | None) -> Iterator[None]:
    """Nobody else is at work in the root within the block."""
    n_slots = config.runtime_info.input.automation.max_jobs if config else 0
    with at_rest(state.root, holder="trajgen, which tidies up", n_slots=n_slots):
        yield


def confirm(question: str, *, yes: bool) -> None:
    """Ask a person, unless told not to. Ends the command where the answer is no.

    Raises:
        RefusedError: there is nobody to ask.
    """
    if yes:
        return
    try:
        agreed = typer.confirm(question)
    except typer.Abort:
        raise RefusedError("nobody has agreed, so nothing was touched", mend="add --yes") from None
    if not agreed:
        typer.echo("nothing was touched")
        raise typer.Exit(EXIT_REFUSED)


def total(outputs: Sequence[Output]) -> Size:
    """What several take together."""
    return sum((each.size for each in outputs), Size())


def said(size: Size) -> str:
    """Count and bytes in words."""
    return f"{count_of(size.n_files, 'file')}, {size.size_bytes / MB:,.2f} MB"


def _show(found: Sequence[Output], state: State, *, as_json: bool, done: str) -> None:
    if as_json:
        typer.echo(json.dumps(_facts(found, dry_run=done.startswith("would"))))
        return
    going = [each for each in found if each.left is None]
    for kind, outputs in groupby(going, key=lambda each: each.kind):
        typer.echo(f"{kind.value}:")
        for each in outputs:
            typer.echo(f"  {_shown(each.path, state)}: {said(each.size)}")
    for each in found:
        if each.left is not None:
            typer.echo(f"stays: {_shown(each.path, state)}: {each.left}")
    typer.echo(f"{done}: {said(total(going))}" if going else "there is nothing to remove")


def _shown(path: Path, state: State) -> str:
    root = state.root.path
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def _facts(found: Sequence[Output], *, dry_run: bool) -> dict[str, Any]:
    going = [each for each in found if each.left is None]
    as_rows = [{"kind": each.kind.value, "path": str(each.path), **asdict(each.size)} for each in going]
    stays = [{"kind": each.kind.value, "path": str(each.path), "why": each.left} for each in found if each.left]
    return {"dry_run": dry_run, "paths": as_rows, "stays": stays, **asdict(total(going))}
