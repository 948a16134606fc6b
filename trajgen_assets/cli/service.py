"""`trajgen service`: daemon and web UI as a systemd user unit, so that they come back after a crash or a reboot."""

import getpass
import os
import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from trajgen_assets.cli.state import State, state_of
from trajgen_assets.core import clock, service
from trajgen_assets.core.config.config import EXCLUDE_NAME, Config
from trajgen_assets.core.config.secrets_file import SecretsFile
from trajgen_assets.core.errors import ConfigError
from trajgen_assets.core.exit_codes import EXIT_FAILED
from trajgen_assets.core.paths import PROJECT
from trajgen_assets.core.report.heartbeat import is_silent, last_beat
from trajgen_assets.core.report.standing import configured

_NAME = re.compile(rf"{service.DEFAULT_NAME}[A-Za-z0-9._-]{{0,100}}")

app = typer.Typer(no_args_is_help=True, help="Keep the daemon running: a systemd user unit.")


@app.command("install")
def install(
    context: typer.Context,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the web UI on 127.0.0.1.")] = 3000,
    name: Annotated[str, typer.Option(help="Name of the unit; another one for each root.")] = service.DEFAULT_NAME,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the unit and change nothing.")] = False,
) -> None:
    """Write the unit of this root, and start it where systemd runs. Where nothing has changed, nothing is restarted."""
    state = state_of(context)
    unit = _unit(state, name, port)
    if dry_run:
        typer.echo(f"# {unit.path}\n{unit.text}", nl=False)
        return
    has_changed = service.install(unit)
    typer.echo(f"{'written' if has_changed else 'unchanged'}: {unit.path}")
    _note_keys_of_the_shell(state)
    commands = [["daemon-reload"], ["enable", unit.path.name], ["restart" if has_changed else "start", unit.path.name]]
    if service.systemd_is_there():
        for command in commands:
            service.tell_systemd(*command)
        typer.echo(f"{unit.path.name} is {service.state_of_unit(unit.path.name)}; web UI: http://127.0.0.1:{port}")
    else:
        typer.echo("systemd does not run for this user, so it was not started. Where it does:")
        for command in commands:
            typer.echo(f"  systemctl --user {' '.join(command)}")
    typer.echo(f"so that it runs while nobody is logged in: loginctl enable-linger {getpass.getuser()}")


@app.command("status")
def status(context: typer.Context) -> None:
    """Show unit, process and heartbeat. Exit code 1 if it is not installed, does not run, or is silent."""
    root = state_of(context).root
    unit, last = service.unit_of(root), last_beat(root)
    typer.echo(f"unit: {unit or 'none is installed for this root; see `trajgen service install`'}")
    said = service.state_of_unit(unit.name) if unit and service.systemd_is_there() else None
    if unit is not None:
        typer.echo(f"systemd: {said or 'does not run for this user'}")
    typer.echo(f"heartbeat: {f'{last:%Y-%m-%d %H:%M:%S} UTC' if last else 'none: no daemon runs'}")
    if unit is None or said != "active" or last is None or is_silent(root, clock.now()):
        raise typer.Exit(EXIT_FAILED)


@app.command("uninstall")
def uninstall(context: typer.Context) -> None:
    """Stop the daemon of this root and remove its unit. Runs are cancelled and settled first."""
    unit = service.unit_of(state_of(context).root)
    if unit is None:
        typer.echo("no service is installed for this root")
        return
    if service.systemd_is_there():
        service.tell_systemd("disable", "--now", unit.name)
    service.uninstall(unit)
    if service.systemd_is_there():
        service.tell_systemd("daemon-reload")
    typer.echo(f"removed: {unit}")


def _unit(state: State, name: str, port: int) -> service.Unit:
    """The unit for this root, this configuration and this installation of trajgen.

    Raises:
        ConfigError: the name cannot be a unit's.
    """
    if not _NAME.fullmatch(name):
        mend = f"begin it with {service.DEFAULT_NAME}; letters, digits, dot, dash and underscore may follow"
        raise ConfigError("this cannot be the name of the service", where=name, mend=mend)
    program = Path(sys.executable).parent / "trajgen"
    search_path = os.environ.get("PATH", os.defpath)
    return service.Unit(name, program, state.root, state.config, PROJECT, port, search_path)


def _note_keys_of_the_shell(state: State) -> None:
    """Say which keys only this shell holds: a unit begins without them."""
    config = configured(state.config)
    if not isinstance(config, Config):
        return
    file = SecretsFile.beside(state.config)
    for name in sorted(config.named_references()):
        if name in os.environ and name not in file:
            typer.echo(f"note: {name} is set in this shell only; write it into {file.path} for the service", err=True)
    if EXCLUDE_NAME in os.environ:
        typer.echo(f"note: the service does not have {EXCLUDE_NAME} of this shell; use excluded_tasks.txt", err=True)
