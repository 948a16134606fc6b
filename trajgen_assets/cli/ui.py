"""`trajgen ui`: Dagster's webserver and daemon on one root, until Ctrl-C."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import httpx
import typer

from resources.cancelling import cancel_runs
from resources.instance import dagster_environ
from resources.redaction import known_secrets
from trajgen_assets.cli.setup import prepare_root
from trajgen_assets.cli.state import State, state_of
from trajgen_assets.core import process
from trajgen_assets.core.capture.redacted_log import RedactedLog
from trajgen_assets.core.config.load import load_config
from trajgen_assets.core.errors import ConfigError, RequirementError
from trajgen_assets.core.paths import PROJECT
from trajgen_assets.core.provision.command import build_settings
from trajgen_assets.core.report.heartbeat import beat, end_beats

WORKSPACE = PROJECT / "workspace.yaml"
LOOPBACK = "127.0.0.1"
READY_TIMEOUT_S = 120.0
STOP_GRACE_S = 20.0
LOG_JOIN_S = 2.0


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("ui")(ui)


def ui(
    context: typer.Context,
    port: Annotated[int, typer.Option(help="Port of the web UI on 127.0.0.1.")] = 3000,
    read_only: Annotated[
        bool, typer.Option(help="For viewers: nothing can be started, and there is no daemon.")
    ] = False,
) -> None:
    """Start the Dagster web UI and daemon on 127.0.0.1; Ctrl-C ends both. It has no login: keep it on loopback."""
    state = state_of(context)
    prepare_root(state)
    serve(state, port, read_only=read_only)


def serve(state: State, port: int, *, read_only: bool = False) -> NoReturn:
    """Serve the web UI, and run the daemon unless it is read-only, until interrupted.

    Raises:
        RequirementError: one of them did not start, or ended by itself.
    """
    _refuse_taken(port)
    with ExitStack() as stack:
        children = [stack.enter_context(webserver(state, port, read_only=read_only))]
        if not read_only:
            children.append(stack.enter_context(daemon(state)))
        wait_until_ready(f"http://{LOOPBACK}:{port}/server_info", children)
        typer.echo(f"web UI: http://{LOOPBACK}:{port}  (Ctrl-C ends it; logs in {state.root.logs})")
        try:
            while all(child.poll() is None for child in children):
                time.sleep(0.5)
        except KeyboardInterrupt:  # that is how it is meant to end
            typer.echo("ending the web UI")
            raise typer.Exit from None
    raise RequirementError("a Dagster process ended by itself", where=state.root.logs, mend="read its log there")


def _refuse_taken(port: int) -> None:
    try:
        socket.create_server((LOOPBACK, port)).close()
    except OSError as error:
        raise RequirementError(
            f"port {port} is taken", why=error.strerror, mend="choose another with --port"
        ) from error


@contextmanager
def webserver(state: State, port: int, *, read_only: bool = False) -> Iterator[subprocess.Popen[bytes]]:
    """Dagster's web UI on loopback."""
    arguments = ["-h", LOOPBACK, "-p", str(port), "-w", str(WORKSPACE), *(["--read-only"] if read_only else [])]
    with _dagster_child(state, "dagster-webserver", arguments, secrets={}) as child:
        yield child


@contextmanager
def daemon(state: State) -> Iterator[subprocess.Popen[bytes]]:
    """Dagster's daemon: sensors, queue, run monitoring. Its runs are cancelled before it ends, so that they settle."""
    arguments, secrets = ["run", "-w", str(WORKSPACE)], _named_environ(state)
    with ExitStack() as afterwards, _dagster_child(state, "dagster-daemon", arguments, secrets=secrets) as child:
        beat(state.root)
        try:
            yield child
        finally:
            if child.poll() is None:
                afterwards.callback(end_beats, state.root)  # once it has ended: until then a tick may leave a beat
                cancel_runs(state.root)


def _named_environ(state: State) -> dict[str, str]:
    """What the configuration names as `${NAME}`. One that is not filled in yet keeps nobody from looking around."""
    try:
        return load_config(state.config).named_environ()
    except ConfigError as error:
        typer.echo(f"note: nothing can be rolled out yet: {error}", err=True)
        return {}


@contextmanager
def _dagster_child(
    state: State, program: str, arguments: list[str], *, secrets: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    state.root.logs.mkdir(parents=True, exist_ok=True)
    executable = Path(sys.executable).parent / program
    env = process.child_env({**build_settings(os.environ), **secrets, **dagster_environ(state.root, state.config)})
    log = RedactedLog(state.root.logs / f"{program}.log", known_secrets(state.config).text)
    with log.writer:  # our end of it: from here on the log ends when the child's does
        child = process.spawn([executable, *arguments], env=env, cwd=PROJECT, log=log.writer)
    try:
        yield child
    finally:
        process.stop_group(child, grace_s=STOP_GRACE_S)
        log.join(LOG_JOIN_S)


def wait_until_ready(url: str, children: list[subprocess.Popen[bytes]]) -> None:
    """Wait for an answer at `url`.

    Raises:
        RequirementError: a child ended, or nothing answered in time.
    """
    deadline = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline and all(child.poll() is None for child in children):
        try:
            httpx.get(url, timeout=2, trust_env=False).raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.5)
        else:
            return
    raise RequirementError(
        "Dagster did not get ready", where=url, mend="read the logs; another program may hold the port"
    )
