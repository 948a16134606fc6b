"""`trajgen dashboard`: pages about tasks, jobs, trajectories and training data; read only."""

from pathlib import Path
from typing import Annotated

import typer

from trajgen_assets.cli.state import state_of
from trajgen_assets.core.counting import count_of
from trajgen_assets.core.dashboard.site import build_site


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("dashboard")(dashboard)


def dashboard(
    context: typer.Context,
    export: Annotated[
        Path | None,
        typer.Option("--export", metavar="DIR", help="Write it there, a folder that is new or holds a dashboard."),
    ] = None,
) -> None:
    """Make the dashboard, a folder of pages that any browser opens from disk, without network; say where it lies."""
    report = build_site(state_of(context).root, export and export.expanduser().absolute())
    done = (
        f"{count_of(report.n_written, 'file')} written, {report.n_removed} removed" if report.changed else "unchanged"
    )
    typer.echo(f"{count_of(report.n_files, 'file')}, {report.size_bytes / 1e6:.1f} MB, {done}")
    typer.echo(str(report.folder))
    typer.echo((report.folder / "index.html").as_uri())
