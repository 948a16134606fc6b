"""`trajgen dashboard`: pages about tasks, jobs, trajectories and training data; read only."""

from pathlib import Path
from typing import Annotated

import typer

from trajgen_assets.cli.state import state_of
from trajgen_assets.core.counting import count_of
from trajgen_assets.core.dashboard.serving import serve_site
from trajgen_assets.core.dashboard.site import build_site
from trajgen_assets.core.dashboard.writing import SiteReport
from trajgen_assets.core.errors import ConfigError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("dashboard")(dashboard)


def dashboard(
    context: typer.Context,
    export: Annotated[
        Path | None,
        typer.Option("--export", metavar="DIR", help="Write it there, a folder that is new or holds a dashboard."),
    ] = None,
    serve: Annotated[
        bool, typer.Option("--serve", help="Serve it on 127.0.0.1 until Ctrl-C, and keep it fresh while jobs run.")
    ] = False,
    port: Annotated[int, typer.Option(help="Port of --serve; 0 takes a free one.", min=0, max=65535)] = 8765,
) -> None:
    """Make the dashboard, a folder of pages that any browser opens from disk, without network; say where it lies."""
    if export is not None and serve:
        raise ConfigError("--export writes a folder, --serve shows that of the root", mend="give one of them")
    root = state_of(context).root
    report = build_site(root, export and export.expanduser().absolute())
    _say(report)
    if serve:
        serve_site(root, port, lambda origin: typer.echo(f"{origin}/  (Ctrl-C ends it)"))


def _say(report: SiteReport) -> None:
    written = f"{count_of(report.n_written, 'file')} written, {report.n_removed} removed"
    done = written if report.changed else "unchanged"
    typer.echo(f"{count_of(report.n_files, 'file')}, {report.size_bytes / 1e6:.1f} MB, {done}")
    typer.echo(str(report.folder))
    typer.echo((report.folder / "index.html").as_uri())
