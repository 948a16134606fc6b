"""`trajgen clean`: remove what can be made again; never what was paid for, and never what says that it was."""

import json
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import typer

from trajgen_assets.cli.clean_jobs import clean_jobs, finish_removals
from trajgen_assets.cli.earlier import refused
from trajgen_assets.cli.ledger.asking import AsJson, Yes, agreed, check_choices
from trajgen_assets.cli.resting import configuration, resting, said
from trajgen_assets.cli.state import State, state_of
from trajgen_assets.core.clean.jobs import find_job_trials
from trajgen_assets.core.clean.outputs import Output, find_outputs, remove_output
from trajgen_assets.core.clean.trees import Size
from trajgen_assets.core.errors import ConfigError
from trajgen_assets.core.ledger.place import has_ledger
from trajgen_assets.core.ledger.store import open_ledger

OUTPUTS = refused("--outputs", "jobs are paid for, and staged tasks go anyway", "name jobs: `trajgen clean --jobs JOB`")
REPOS = refused("--repos", "checkouts are no output", "`trajgen update-repos` brings them to their pins")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("clean")(clean)


def clean(  # noqa: PLR0913, PLR0917  one argument for each option
    context: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(metavar="[JOB]...", help="With --jobs: which.")] = None,
    jobs: Annotated[
        bool, typer.Option("--jobs", help="Remove the trials of these jobs, or of all that are over, and nothing else.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="With --jobs: also what is not converted, or is in a data set.")
    ] = False,
    data_sets: Annotated[
        bool, typer.Option("--data-sets", help="Also data sets of several jobs, and what they were made of.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only show what would be removed.")] = False,
    yes: Yes = False,
    as_json: AsJson = False,
    outputs: Annotated[bool, OUTPUTS] = False,  # noqa: ARG001
    repos: Annotated[bool, REPOS] = False,  # noqa: ARG001
) -> None:
    """Remove training data, the dashboard, proxy files, logs and staged tasks: all that can be made again.

    Never jobs, ledger, DAGSTER_HOME, archives, index, exclusions, or what git tracks. Nothing is followed out of the
    root. It is refused while a job runs or data is being made.
    """
    check_choices(yes=yes, dry_run=dry_run, as_json=as_json)
    state = state_of(context)
    config = configuration(state)
    _refuse_idle(names or [], jobs=jobs, force=force, data_sets=data_sets)
    if jobs:
        with nullcontext() if dry_run else resting(state, config):
            choice = partial(find_job_trials, state.root, names=names or [])
            how = {"dry_run": dry_run, "force": force, "yes": yes, "as_json": as_json}
            facts = clean_jobs(state.root, choice, **how, named=bool(names))
        if as_json:
            typer.echo(json.dumps(facts))
        return
    if dry_run:
        _show(find_outputs(state.root, config, data_sets=data_sets), state, as_json=as_json, done="would be removed")
        return
    with resting(state, config):
        if has_ledger(state.root):
            with open_ledger(state.root) as ledger:
                finish_removals(state.root, ledger)
        found = find_outputs(state.root, config, data_sets=data_sets)
        going = [each for each in found if each.left is None]
        if going and not as_json:
            _show(found, state, as_json=False, done="to be removed")
        if going:
            agreed("remove it?", yes=yes)
        for each in going:
            remove_output(each)
        _show(found, state, as_json=as_json, done="removed") if as_json or not going else typer.echo(
            f"removed: {said(total(going))}"
        )


def _refuse_idle(names: Sequence[str], *, jobs: bool, force: bool, data_sets: bool) -> None:
    """Refuse words that would be passed over in silence.

    Raises:
        ConfigError
    """
    if names and not jobs:
        raise ConfigError("clean takes jobs only with --jobs", where=names[0], mend="say `trajgen clean --jobs JOB`")
    if force and not jobs:
        raise ConfigError("--force is about the trials of jobs", mend="say `trajgen clean --jobs JOB --force`")
    if data_sets and jobs:
        raise ConfigError("--jobs removes trials, and no data sets", mend="say `trajgen clean --data-sets` by itself")


def total(outputs: Sequence[Output]) -> Size:
    """What several take together."""
    return sum((each.size for each in outputs), Size())


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
