"""`trajgen ledger`: what was consumed, how it ended, and what a person decides about it. One module a command."""

import typer

from trajgen_assets.cli.ledger import check, export, importing, migrate, people, show

app = typer.Typer(no_args_is_help=True)


@app.callback()
def group() -> None:
    """Look into the ledger, and decide about tasks."""


for module in (show, people, importing, export, check, migrate):
    module.register(app)
