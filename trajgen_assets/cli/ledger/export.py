"""`trajgen ledger export`: the published view's content, to a file or to standard output."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from trajgen_assets.cli.ledger.asking import Yes, agreed, check_choices
from trajgen_assets.cli.state import state_of
from trajgen_assets.core.atomic import write_bytes
from trajgen_assets.core.errors import ConfigError
from trajgen_assets.core.ledger.published import as_json
from trajgen_assets.core.ledger.store import open_ledger
from trajgen_assets.core.ledger.view import render


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("export")(export)


def export(
    context: typer.Context,
    file: Annotated[Path | None, typer.Argument(help="Where to; default: standard output.")] = None,
    json_form: Annotated[bool, typer.Option("--json", help="As JSON instead of YAML.")] = False,
    yes: Yes = False,
) -> None:
    """Write what the ledger says of every task, in the form of `consumption_ledger.yaml`."""
    root = state_of(context).root
    with open_ledger(root) as ledger:
        data = as_json(render(ledger)) if json_form else render(ledger)
    if file is None:
        sys.stdout.buffer.write(data)
        return
    if file.is_dir() or (file.exists() and file.samefile(root.ledger)):
        raise ConfigError("an export needs a file of its own", where=file)
    if file.exists():
        check_choices(yes=yes, dry_run=False, as_json=False)
        agreed(f"write over {file}?", yes=yes)
    write_bytes(file, data)
    typer.echo(f"written: {file}")
