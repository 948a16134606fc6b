"""`trajgen dryrun`: look at everything that a job needs, and change nothing."""

import json
from collections.abc import Iterable, Iterator
from typing import Annotated

import typer

from trajgen_assets.cli.state import state_of
from trajgen_assets.core.exit_codes import EXIT_FAILED, EXIT_USAGE
from trajgen_assets.core.preflight.findings import Level, looked_at
from trajgen_assets.core.preflight.run import (
    CHECKS,
    PROBE,
    Check,
    Line,
    canary_check,
    is_misconfigured,
    look,
    report,
    verdict,
)

WIDTH = 22


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("dryrun")(dryrun)


def dryrun(
    context: typer.Context,
    probe: Annotated[bool, typer.Option(help="Ask each model for one short reply, which costs a few tokens.")] = True,
    canary: Annotated[
        int, typer.Option(min=0, metavar="N", help="Also roll out N tasks without a model: nop earns 0, oracle 1.")
    ] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")] = False,
) -> None:
    """Check all that a job needs, one line a check, and change nothing.

    Exit code 1 if a check fails, 2 if no command could use the configuration.
    """
    state = state_of(context)
    with looked_at(state.root, state.config) as subject:
        looked = look(subject, _chosen(probe=probe, canary=canary))
        lines = list(looked if as_json else _shown(looked))
        found = report(lines)
        typer.echo(json.dumps(found, indent=2) if as_json else f"{_told(found['counts'])}. {verdict(lines)}")
    if not found["ready"]:
        raise typer.Exit(EXIT_USAGE if is_misconfigured(lines) else EXIT_FAILED)


def _chosen(*, probe: bool, canary: int) -> tuple[Check, ...]:
    asked = (PROBE,) if probe else ()
    tried = (canary_check(canary, lambda text: typer.echo(f"  {text}", err=True)),) if canary else ()
    return (*CHECKS, *asked, *tried)


def _shown(lines: Iterable[Line]) -> Iterator[Line]:
    """Print each line as it comes, under the heading of its group."""
    group = None
    for line in lines:
        if line.group != group:
            group = line.group
            typer.echo(f"{group}:")
        mend = f". Mend: {line.mend}" if line.mend and line.level is not Level.OK else ""
        typer.echo(f"  {line.level.value:<5} {line.check:<{WIDTH}} {line.text.rstrip('.')}{mend}")
        yield line


def _told(counts: dict[str, int]) -> str:
    return ", ".join(f"{counts[level]} {level.value}" for level in Level if counts[level])
