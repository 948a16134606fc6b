"""`trajgen update-repos`: the repositories that the configuration pins, brought to their pins."""

import json
from collections.abc import Iterable, Iterator
from typing import Annotated, Any

import typer

from trajgen_assets.cli.state import state_of
from trajgen_assets.core.checkouts.addresses import normal_url
from trajgen_assets.core.checkouts.pin import Pin, chosen_pins
from trajgen_assets.core.checkouts.update import Updated, update
from trajgen_assets.core.config.config import Config
from trajgen_assets.core.errors import RefusedError, TrajgenError
from trajgen_assets.core.exit_codes import EXIT_FAILED, EXIT_REFUSED
from trajgen_assets.core.provision.command import Say

SCHEMA_VERSION = 1
Result = tuple[Pin, Updated | TrajgenError]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("update-repos")(update_repos)


def update_repos(
    context: typer.Context,
    repo: Annotated[str | None, typer.Option(help="Only this one of meta_info.repositories. Default: all.")] = None,
    ref: Annotated[
        str | None,
        typer.Option(help="A branch, tag or commit instead of the configured one; needs --repo. A pinned commit wins."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be done; change nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what a program reads.")] = False,
) -> None:
    """Check out the pinned repositories, detached and read-only. One that was changed by hand is left as it is."""
    if ref is not None and repo in (None, "all"):
        raise typer.BadParameter("it holds for one repository: name it with --repo", param_hint="--ref")
    config = state_of(context).load()
    pins = list(chosen_pins(config, name=repo, ref=ref))
    for pin in pins:
        if ref and pin.commit and pin.commit != ref:
            _to_stderr(f"note: {pin.name} is pinned to {pin.words}, which counts before --ref {ref}")
    results = list(updates(pins, _to_stderr, dry_run=dry_run, tell=None if as_json else typer.echo))
    if as_json:
        typer.echo(json.dumps(report(results, dry_run=dry_run), indent=2))
    elif not pins:
        typer.echo("the configuration pins no repository: Harbor and LiteLLM come from lock files")
    if code := code_of(results):
        raise typer.Exit(code)


def update_all(config: Config, say: Say) -> None:
    """Bring all pinned repositories to their pins, before a job that was asked to.

    Raises:
        TrajgenError: one of them could not be; the first that could not. The others were brought there.
    """
    for _, result in list(updates(chosen_pins(config, name=None, ref=None), say, dry_run=False, tell=say)):
        if isinstance(result, TrajgenError):
            raise result


def updates(pins: Iterable[Pin], say: Say, *, dry_run: bool, tell: Say | None) -> Iterator[Result]:
    """Update each of `pins`, though others fail."""
    for pin in pins:
        try:
            result: Updated | TrajgenError = update(pin, say, dry_run=dry_run)
        except TrajgenError as error:
            result = error
        if tell is not None and isinstance(result, Updated):
            tell(line_of(result, dry_run=dry_run))
        elif isinstance(result, TrajgenError):
            _to_stderr(f"{pin.name}: {result}")
        yield pin, result


def line_of(updated: Updated, *, dry_run: bool = False) -> str:
    """What became of one, for a person."""
    pin, commit = updated.pin, updated.commit[:12]
    mode = "read-only" if pin.readonly else "writable"
    if not updated.is_changed:
        return f"{pin.name}: unchanged at {commit}, {mode} ({pin.folder})"
    if updated.before is None:
        return f"{pin.name}: {'would be checked out' if dry_run else 'checked out'} at {commit}, {mode} ({pin.folder})"
    return (
        f"{pin.name}: {'would go' if dry_run else 'went'} from {updated.before[:12]} to {commit}, {mode} ({pin.folder})"
    )


def report(results: list[Result], *, dry_run: bool) -> dict[str, Any]:
    """What became of all, for a program."""
    return {
        "schema_version": SCHEMA_VERSION,
        "dry_run": dry_run,
        "ok": not any(isinstance(result, TrajgenError) for _, result in results),
        "repositories": [_entry(pin, result) for pin, result in results],
    }


def _entry(pin: Pin, result: Updated | TrajgenError) -> dict[str, Any]:
    known = {"name": pin.name, "url": normal_url(pin.url), "path": str(pin.folder), "readonly": pin.readonly}
    if isinstance(result, TrajgenError):
        return known | {"error": str(result)}
    return known | {"before": result.before, "commit": result.commit, "changed": result.is_changed}


def code_of(results: list[Result]) -> int:
    """The exit code: 1 where one failed, else 3 where one was refused, else 0."""
    errors = [result for _, result in results if isinstance(result, TrajgenError)]
    if any(not isinstance(error, RefusedError) for error in errors):
        return EXIT_FAILED
    return EXIT_REFUSED if errors else 0


def _to_stderr(line: str) -> None:
    typer.echo(line, err=True)
