"""`trajgen status`: where everything stands, in one screen."""

import json
from typing import Annotated

import typer

from trajgen_assets.cli.ledger.show import balance_line
from trajgen_assets.cli.state import state_of
from trajgen_assets.core.clock import stamp
from trajgen_assets.core.counting import count_of
from trajgen_assets.core.exit_codes import EXIT_FAILED, EXIT_USAGE
from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.ledger.store import open_ledger
from trajgen_assets.core.paths import Root
from trajgen_assets.core.report.standing import Standing, configured, standing_of

N_RECENT_JOBS = 5


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("status")(status)


def status(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="As status.yaml has it, but of this moment.")] = False,
) -> None:
    """Show tasks, jobs, what is in the way and what to do next.

    Exit code 1 if something in the way needs a person, 2 if that is the configuration.
    """
    state = state_of(context)
    with open_ledger(state.root) as ledger:
        ledger.check_balance()
        standing = standing_of(state.root, ledger, configured(state.config))
        if as_json:
            typer.echo(json.dumps(standing.as_dict() | {"last_updated": stamp()}, indent=2))
        else:
            _show(state.root, ledger, standing)
    if standing.is_blocked:
        raise typer.Exit(EXIT_USAGE if standing.is_misconfigured else EXIT_FAILED)


def _show(root: Root, ledger: Ledger, standing: Standing) -> None:
    typer.echo(f"root {root.path}: {standing.phase}")
    typer.echo(f"tasks: {balance_line(standing.counts)}")
    if standing.smoke.registered:
        smoke = standing.smoke
        typer.echo(f"  campaign smoke, not counted above: {smoke.done} done, {smoke.failed} failed")
    if standing.counts.waiting:
        typer.echo(
            "  " + count_of(standing.counts.waiting, "pending task has", "pending tasks have") + " no usable folder"
        )
    if standing.n_excluded:
        typer.echo(
            f"  {count_of(standing.n_excluded, 'pending task is', 'pending tasks are')} excluded by "
            "excluded_tasks.txt or HARBOR_EXCLUDE_TASKS"
        )
    for job in standing.jobs:
        typer.echo(f"job {job.job}: {job.words}")
    for over in [each for each in ledger.jobs() if each.state.is_over][-N_RECENT_JOBS:]:
        typer.echo(
            f"job {over.name}: {over.state}, {count_of(over.n_tasks, 'task')}" + (f": {over.note}" if over.note else "")
        )
    for blocker in standing.blockers:
        typer.echo(blocker.line)
    for step in standing.next_steps:
        typer.echo(f"next: {step}")
