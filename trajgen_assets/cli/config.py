"""`trajgen config`: what the configuration says, whether it is valid, and how an older one becomes a new one."""

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from trajgen_assets.cli.state import State, state_of
from trajgen_assets.core.atomic import write_text
from trajgen_assets.core.config.config import Config
from trajgen_assets.core.config.effective import as_yaml, effective
from trajgen_assets.core.config.load import key_lines, load_config
from trajgen_assets.core.config.migrate import Migration
from trajgen_assets.core.config.migrate import migrate as migrated
from trajgen_assets.core.counting import count_of
from trajgen_assets.core.errors import ConfigError
from trajgen_assets.core.intake.exclusions import exclusions
from trajgen_assets.core.placing import placing_notices
from trajgen_assets.core.sft.engine.converter import refuse_unfit_choice

app = typer.Typer(no_args_is_help=True)


@app.callback()
def group() -> None:
    """Look at the configuration, check it, or bring an older one over."""


@app.command()
def show(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON list instead.")] = False,
) -> None:
    """Show every key that counts, with its value and where that comes from. No secret is shown."""
    state = state_of(context)
    settings = effective(load_config(state.config), key_lines(state.config))
    if as_json:
        rows = [
            {"key": each.key, "value": each.value, "origin": each.origin, "line": each.line, "note": each.note}
            for each in settings
        ]
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    typer.echo(f"# {state.config}")
    typer.echo(f"# root {state.root.path}")
    for line in as_yaml(settings):
        typer.echo(line)


@app.command()
def validate(
    context: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(help="Default: the configuration that every command would use.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")] = False,
) -> None:
    """Check a configuration and the lists of excluded tasks that it names; exit code 2 names every problem."""
    state = state_of(context)
    config = load_config(file or state.config)
    refuse_unfit_choice(config, config.campaigns())
    excluded = {each.task_id for each in exclusions(config, state.root)}
    notes = notes_on(state, config)
    if as_json:
        found = {"valid": True, "config": str(config.path), "notes": notes, "excluded": sorted(excluded)}
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    for line in notes:
        typer.echo(f"note: {line}")
    told = f"{len(notes)} {'note' if len(notes) == 1 else 'notes'}, {len(excluded)} excluded tasks"
    typer.echo(f"valid: {config.path} ({told})")


def notes_on(state: State, config: Config) -> list[str]:
    """What works, and a person should know: secrets in clear, keys with another meaning here, names without value."""
    unset = [name for name in sorted(config.named_references()) if not _is_set(config, name)]
    return [
        *config.warnings(),
        *config.notices(),
        *placing_notices(state.root, config),
        *(f"${{{name}}} is named, and neither the environment nor secrets.env sets it" for name in unset),
    ]


def _is_set(config: Config, name: str) -> bool:
    try:
        return bool(config.look_up(name))
    except ConfigError:
        return False


@app.command()
def migrate(
    old: Annotated[Path, typer.Argument(help="The older configuration. It is never written.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The new file. Default: it is printed, and nothing is written."),
    ] = None,
    force: Annotated[bool, typer.Option(help="Write over a file that is there already.")] = False,
) -> None:
    """Write an older configuration anew, with a comment for each key that changed, moved, or is left out."""
    if output is None:
        made = migrated(old, old)
        typer.echo(made.text, nl=False)
        _tell(made, "printed only, write it with -o NEW.yaml")
        return
    refuse_target(old, output, force=force)
    made = migrated(old, output)
    output.parent.mkdir(parents=True, exist_ok=True)
    write_text(output, made.text)
    for place, word in made.words:
        typer.echo(f"  {place}: {word}")
    _tell(made, f"wrote {output.absolute()}")


def refuse_target(old: Path, output: Path, *, force: bool) -> None:
    """Leave the old file alone always, and any other that is there unless asked.

    Raises:
        ConfigError: the target is one of them.
    """
    if output.exists() and old.exists() and output.samefile(old):
        raise ConfigError("the old configuration is never written", where=output, mend="name another file with -o")
    if os.path.lexists(output) and not force:
        mend = "name another file with -o, or add --force"
        raise ConfigError("there is a file already", where=output, mend=mend)


def _tell(made: Migration, what: str) -> None:
    if made.words:
        told = f"{count_of(made.n_changes, 'change')} and {count_of(made.n_notes, 'note')}, each a comment in the file"
    else:
        told = "nothing to change: it is a configuration of this system already"
    typer.echo(f"{what}; {told}", err=True)
    for name, place in made.secrets.items():
        typer.echo(f"set {name} in the environment, or in secrets.env beside it: what stood at {place}", err=True)
