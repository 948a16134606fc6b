"""`trajgen`: one command for each step, each with an exit code that tells the truth.

Exit codes: 0 done; 1 something failed; 2 wrong usage or configuration; 3 refused, nothing was consumed;
130 interrupted.
"""

import logging
import shutil
import signal
import sys
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import typer

from resources.redaction import known_secrets
from trajgen_assets.cli import (
    build_runtime,
    clean,
    convert,
    dashboard,
    dataset,
    demo,
    dryrun,
    exclude_list,
    explain,
    gc,
    ingest,
    init,
    ledger,
    logs,
    package,
    pause,
    prepare,
    reap,
    runs,
    score,
    service,
    setup,
    setup_envs,
    start,
    status,
    stop,
    ui,
    unwind_on_interrupt,
    update_repos,
)
from trajgen_assets.cli import config as config_commands
from trajgen_assets.cli.state import State
from trajgen_assets.core.errors import (
    BusyError,
    ConfigError,
    EndpointError,
    ImportRefusedError,
    ProxyError,
    RefusedError,
    RequirementError,
    TrajgenError,
    UnknownNameError,
)
from trajgen_assets.core.exit_codes import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_REFUSED, EXIT_USAGE
from trajgen_assets.core.paths import Root
from trajgen_assets.core.redact import Redactor

# SQLite and the rest need a page or two to write anything.
FULL_BELOW_BYTES = 1 << 20
ROLLING_OUT = frozenset({"start", "init", "demo"})

app = typer.Typer(
    name="trajgen",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
    help=(
        "Turn verified software-engineering tasks into agent trajectories and training data.\n\n"
        "First time here? `make demo` shows it all without a key; then `trajgen init` sets up your own model and tasks."
    ),
)
for module in (
    setup,
    setup_envs,
    update_repos,
    build_runtime,
    init,
    status,
    prepare,
    dryrun,
    exclude_list,
    explain,
    logs,
    start,
    stop,
    pause,
    convert,
    score,
    clean,
    gc,
    reap,
    ui,
    dashboard,
    demo,
):
    module.register(app)
app.add_typer(config_commands.app, name="config", help="Show the configuration, check it, or bring over an old one.")
app.add_typer(runs.app, name="runs")
app.add_typer(service.app, name="service")
app.add_typer(dataset.app, name="dataset")
app.add_typer(package.app, name="state")
app.add_typer(ingest.app, name="ingest")
app.add_typer(ledger.app, name="ledger", help="Look into the ledger, and decide about tasks.")


@app.callback()
def options(
    context: typer.Context,
    root: Annotated[
        Path | None, typer.Option(help="Artifacts root. Default: TRAJGEN_ROOT, else artifacts/ of the checkout.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="Configuration. Default: TRAJGEN_CONFIG, else config.yaml of the root or the checkout."),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show what goes on below.")] = False,
) -> None:
    """Options that hold for every command."""
    logging.basicConfig(level=logging.INFO if verbose else logging.ERROR, format="%(levelname)s %(name)s: %(message)s")
    context.obj = State.of(root, config, verbose=verbose)


def main() -> None:
    """Run the command line; an error becomes one message and an exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a polite kill unwinds like Ctrl-C
    try:
        app()
    except TrajgenError as error:
        typer.echo(_redactor().text(str(error)), err=True)
        sys.exit(exit_code_of(error))
    except Exception as error:
        if "--verbose" in sys.argv or "-v" in sys.argv:
            _redactor().in_place(error)
            raise
        typer.echo(_redactor().text(in_a_sentence(error)), err=True)
        sys.exit(EXIT_FAILED)
    except KeyboardInterrupt:  # before any command began
        sys.exit(EXIT_INTERRUPTED)
    except SystemExit as stop:
        if stop.code == EXIT_INTERRUPTED:
            typer.echo(interruption(sys.argv[1:]), err=True)
        raise


def interruption(arguments: list[str]) -> str:
    """What an interruption means for the command among `arguments`: only one that rolls out had tasks in its hands."""
    pairs = pairwise(["", *arguments])
    words = (word for before, word in pairs if not word.startswith("-") and before not in {"--root", "--config"})
    kept = ": what had ended is kept, the rest is pending again"
    return "interrupted" + (kept if next(words, None) in ROLLING_OUT else "")


def in_a_sentence(error: Exception) -> str:
    """What a user can do about an error that is not one of ours."""
    root = Root.from_environ(_option(sys.argv, "--root"))
    if root.path.exists() and shutil.disk_usage(root.path).free < FULL_BELOW_BYTES:
        return f"the disk is full ({root.path}). Mend: make room; the next start settles what was running"
    first_line = str(error).strip().split("\n", 1)[0]
    return f"stopped by {type(error).__name__}: {first_line}. What had ended is kept. `trajgen --verbose …` shows more"


def _redactor() -> Redactor:
    """Knows the secrets of the environment and of the configuration that the command was about."""
    root, config = (_option(sys.argv, name) for name in ("--root", "--config"))
    state = State.of(Path(root) if root else None, Path(config) if config else None, verbose=False)
    return known_secrets(state.config).redactor()


def _option(arguments: list[str], wanted: str) -> str | None:
    return next((value for name, value in pairwise(arguments) if name == wanted), None)


def exit_code_of(error: TrajgenError) -> int:
    """Which exit code an error ends the command with."""
    if isinstance(error, ConfigError | ImportRefusedError | UnknownNameError):
        return EXIT_USAGE
    if isinstance(error, EndpointError | ProxyError | RequirementError | RefusedError | BusyError):
        return EXIT_REFUSED
    return EXIT_FAILED


unwind_on_interrupt()
