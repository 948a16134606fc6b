"""`trajgen dashboard`: pages about tasks, jobs, trajectories and training data; read only."""

from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import Annotated

import typer

from resources.redaction import known_secrets
from trajgen_assets.cli.state import State, state_of
from trajgen_assets.core.counting import count_of
from trajgen_assets.core.dashboard.atif import write_atif
from trajgen_assets.core.dashboard.database import write_database
from trajgen_assets.core.dashboard.public import Public
from trajgen_assets.core.dashboard.publishing import Target, publish, publish_again
from trajgen_assets.core.dashboard.serving import serve_site
from trajgen_assets.core.dashboard.site import build_site
from trajgen_assets.core.dashboard.writing import SiteReport
from trajgen_assets.core.errors import ConfigError

DEFAULT_PORT = 8765


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("dashboard")(dashboard)


def dashboard(  # noqa: PLR0913, PLR0917  each option of a command is an argument of its function
    context: typer.Context,
    export: Annotated[
        Path | None,
        typer.Option("--export", metavar="DIR", help="Write it there, a folder that is new or holds a dashboard."),
    ] = None,
    public: Annotated[
        bool, typer.Option("--public", help="With --export: for others; short previews, no host paths, no keys.")
    ] = False,
    serve: Annotated[
        bool, typer.Option("--serve", help="Serve it on 127.0.0.1 until Ctrl-C, and keep it fresh while jobs run.")
    ] = False,
    port: Annotated[
        int | None, typer.Option(help=f"Port of --serve, {DEFAULT_PORT}; 0 takes a free one.", min=0, max=65535)
    ] = None,
    publish_to: Annotated[
        str | None,
        typer.Option(
            "--publish",
            metavar="TARGET",
            help="Send the public form: DIR, HOST:PATH, s3://…, gs://…, rclone:REMOTE:PATH, or 'cmd:PROGRAM {site}'.",
        ),
    ] = None,
    sqlite: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the facts as one SQLite file instead, for datasette or sqlite3."),
    ] = None,
    atif: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write the trajectories in Harbor's form instead, for `harbor view DIR`."),
    ] = None,
    every: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Publish again and again until Ctrl-C.", min=1)
    ] = None,
) -> None:
    """Make the dashboard, a folder of pages that any browser opens from disk, without network; say where it lies."""
    ways = {"--export": export, "--serve": serve or None, "--publish": publish_to, "--sqlite": sqlite, "--atif": atif}
    _check([name for name, way in ways.items() if way is not None], public=public, every=every, port=port)
    state = state_of(context)
    if not state.root.path.is_dir():
        raise ConfigError("there is no root to show", where=state.root.path, mend="name another with --root")
    if sqlite is not None:
        _write_database(state, sqlite.expanduser().absolute())
        return
    if atif is not None:
        _write_atif(state, atif.expanduser().absolute())
        return
    if publish_to is not None:
        _publish(state, Target.of(publish_to), every)
        return
    cleaned = _public(state) if public else None
    _say(build_site(state.root, export and export.expanduser().absolute(), cleaned), cleaned)
    if serve:
        with suppress(KeyboardInterrupt):  # that is how it is meant to end
            at = DEFAULT_PORT if port is None else port
            serve_site(state.root, at, lambda origin: typer.echo(f"{origin}/  (Ctrl-C ends it)"))


def _check(ways: list[str], *, public: bool, every: float | None, port: int | None) -> None:
    if len(ways) > 1:
        raise ConfigError(f"{' and '.join(ways)} are two things", mend="give one of them")
    if public and ways != ["--export"]:
        raise ConfigError("--public says how to export", mend="add --export DIR; --publish is public anyway")
    if every is not None and ways != ["--publish"]:
        raise ConfigError("--every says how often to publish", mend="add --publish TARGET")
    if port is not None and ways != ["--serve"]:
        raise ConfigError("--port says where to serve", mend="add --serve")


def _write_database(state: State, path: Path) -> None:
    written = write_database(state.root, path, known_secrets(state.config).redactor())
    typer.echo(", ".join(f"{n} {table}" for table, n in written.n_rows.items()))
    typer.echo(str(written.path))


def _write_atif(state: State, folder: Path) -> None:
    report = write_atif(state.root, folder, known_secrets(state.config).redactor())
    typer.echo(f"{count_of(report.n_files, 'file')}, {report.n_written} written, {report.n_removed} removed")
    typer.echo(str(folder))


def _publish(state: State, target: Target, every: float | None) -> None:
    if every is None:
        public = _public(state)
        _say(publish(state.root, target, public), public)
        return
    secrets = known_secrets(state.config)
    with suppress(KeyboardInterrupt):  # that is how it is meant to end
        publish_again(
            state.root, target, lambda: _public(state), every, lambda text: typer.echo(secrets.text(text)), Event()
        )


def _public(state: State) -> Public:
    return Public.of(state.root, known_secrets(state.config).redactor())


def _say(report: SiteReport, public: Public | None) -> None:
    written = f"{count_of(report.n_written, 'file')} written, {report.n_removed} removed"
    done = written if report.changed else "unchanged"
    typer.echo(f"{count_of(report.n_files, 'file')}, {report.size_bytes / 1e6:.1f} MB, {done}")
    if public is not None and public.taken:
        typer.echo("taken out: " + ", ".join(f"{n} {what}" for what, n in sorted(public.taken.items())))
    typer.echo(str(report.folder))
    typer.echo((report.folder / "index.html").as_uri())
