"""`trajgen ledger migrate --to URL`: the ledger goes on in a database on a server."""

import json
from contextlib import nullcontext
from dataclasses import asdict, replace
from typing import Annotated

import typer

from trajgen_assets.cli.ledger.asking import AsJson, Yes, agreed, check_choices
from trajgen_assets.cli.resting import configuration, resting
from trajgen_assets.cli.state import state_of
from trajgen_assets.core.counting import count_of
from trajgen_assets.core.errors import ConfigError
from trajgen_assets.core.ledger.moving import Moved, is_sealed, move_to_server
from trajgen_assets.core.ledger.place import FORM, Server, holds_password, server_at


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("migrate")(migrate)


def migrate(
    context: typer.Context,
    to: Annotated[str, typer.Option("--to", metavar="URL", help=f"An empty database: '{FORM}'.")],
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Move the ledger to a Postgres server without losing a row; repeated, it finishes a move that was cut short."""
    state = state_of(context)
    if holds_password(to):
        mend = f"write it as '{FORM}', in single quotes, and export the variable"
        raise ConfigError("a password on a command line is shown to everybody", where="--to", mend=mend)
    check_choices(yes=yes, dry_run=False, as_json=as_json)
    server = server_at(state.root, to, named_by="--to")
    here = replace(state, root=replace(state.root, ledger_url=None))  # what is moved lies in the file until it is there
    is_begun = is_sealed(here.root)
    agreed(f"move the ledger from {here.root.ledger} to {server.where}?", yes=yes)
    with nullcontext() if is_begun else resting(here, configuration(here)):  # once it was sealed, nobody works with it
        _say(move_to_server(here.root, server), server, as_json=as_json)


def _say(moved: Moved, server: Server, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"to": server.where, "tables": {name: asdict(each) for name, each in moved.items()}}))
        return
    for name, table in moved.items():
        typer.echo(f"  {name}: {count_of(table.n_rows, 'row')}, digest {table.sha256[:12]}")
    typer.echo(f"moved: {server.where} has the ledger now; the file that had it is sealed, and may be kept or removed")
