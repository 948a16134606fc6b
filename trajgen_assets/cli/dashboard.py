"""`trajgen dashboard`: pages about tasks, jobs, trajectories and training data; read only."""

from pathlib import Path
from threading import Event
from typing import Annotated

import typer

from resources.redaction import known_secrets
from trajgen_assets.cli.state import State, state_of
from trajgen_assets.core.counting import count_of
from trajgen_assets.core.dashboard.public import Public
from trajgen_assets.core.dashboard.publishing import Target, publish, publish_again
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
    public: Annotated[
        bool, typer.Option("--public", help="With --export: for others; short previews, no host paths, no keys.")
    ] = False,
    serve: Annotated[
        bool, typer.Option("--serve", help="Serve it on 127.0.0.1 until Ctrl-C, and keep it fresh while jobs run.")
    ] = False,
    port: Annotated[int, typer.Option(help="Port of --serve; 0 takes a free one.", min=0, max=65535)] = 8765,
    publish_to: Annotated[
        str | None,
        typer.Option(
            "--publish",
            metavar="TARGET",
            help="Send the public form: DIR, HOST:PATH, s3://…, gs://…, rclone:REMOTE:PATH, or 'cmd:PROGRAM {site}'.",
        ),
    ] = None,
    every: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Publish again and again until Ctrl-C.", min=1)
    ] = None,
) -> None:
    """Make the dashboard, a folder of pages that any browser opens from disk, without network; say where it lies."""
    _check(export=export, public=public, serve=serve, publish_to=publish_to, every=every)
    state = state_of(context)
    if publish_to is not None:
        _publish(state, Target.of(publish_to), every)
        return
    cleaned = _public(state) if public else None
    _say(build_site(state.root, export and export.expanduser().absolute(), cleaned), cleaned)
    if serve:
        serve_site(state.root, port, lambda origin: typer.echo(f"{origin}/  (Ctrl-C ends it)"))


def _check(*, export: Path | None, public: bool, serve: bool, publish_to: str | None, every: float | None) -> None:
    if sum((export is not None, serve, publish_to is not None)) > 1:
        raise ConfigError("--export, --serve and --publish each show the dashboard to others", mend="give one of them")
    if public and export is None:
        raise ConfigError("--public says how to export", mend="add --export DIR; --publish is public anyway")
    if every is not None and publish_to is None:
        raise ConfigError("--every says how often to publish", mend="add --publish TARGET")


def _publish(state: State, target: Target, every: float | None) -> None:
    if every is None:
        public = _public(state)
        _say(publish(state.root, target, public), public)
        return
    secrets = known_secrets(state.config)
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
