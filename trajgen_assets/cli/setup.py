"""`trajgen setup`: the uv environments, the ledger and Dagster's instance of one root."""

from typing import Annotated

import typer

from resources.instance import has_instance, open_instance, prepare_instance
from trajgen_assets.assets.environments import report_environments
from trajgen_assets.cli.state import State, state_of
from trajgen_assets.core.config.inputs import Automation
from trajgen_assets.core.config.load import load_config
from trajgen_assets.core.errors import ConfigError
from trajgen_assets.core.ledger.place import ledger_place
from trajgen_assets.core.ledger.store import create_ledger
from trajgen_assets.core.paths import PROJECT
from trajgen_assets.core.provision.setup import setup as provision
from trajgen_assets.names import TRAJECTORIES


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("setup")(setup)


def setup(
    context: typer.Context,
    skip_environments: Annotated[bool, typer.Option(help="Leave the uv environments as they are.")] = False,
) -> None:
    """Make what a root needs: environments, ledger, Dagster instance. Safe to repeat; what is there is kept."""
    state = state_of(context)
    if not skip_environments:
        provision(PROJECT, state.root.env, say=typer.echo)
    prepare_root(state)
    typer.echo(f"root {state.root.path} is ready")


def prepare_root(state: State) -> None:
    """Make ledger and Dagster instance of a root that has none, and have the web UI show the environments that stand.

    Raises:
        LedgerError: there is no ledger, but work of an earlier one.
    """
    try:
        max_jobs = load_config(state.config).runtime_info.input.automation.max_jobs
    except ConfigError:  # not written or not filled in yet: set-up comes first
        max_jobs = Automation().max_jobs
    if create_ledger(state.root, has_materializations=lambda: _has_materializations(state)):
        typer.echo(f"made an empty ledger: {ledger_place(state.root)}")
    prepare_instance(state.root, max_jobs=max_jobs)
    with open_instance(state.root) as instance:
        report_environments(instance, state.root)


def _has_materializations(state: State) -> bool:
    if not has_instance(state.root):
        return False
    with open_instance(state.root) as instance:
        return bool(instance.get_asset_keys(prefix=TRAJECTORIES.path))
