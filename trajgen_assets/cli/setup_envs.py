"""`trajgen setup-envs`: the environments that jobs and conversions run in, as the assets of their names make them."""

import json
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from resources.instance import has_instance, open_instance
from trajgen_assets.assets.environments import report_environment
from trajgen_assets.cli.earlier import unneeded
from trajgen_assets.cli.state import state_of
from trajgen_assets.core.checkouts.converter import converter_source, is_converter_chosen
from trajgen_assets.core.checkouts.harbor import sources_in
from trajgen_assets.core.config.load import load_config
from trajgen_assets.core.errors import ConfigError
from trajgen_assets.core.openhands.environment import is_made_of_lock, ready_environment
from trajgen_assets.core.provision.environments import Environment
from trajgen_assets.core.provision.on_demand import ENVIRONMENTS, needed_environment, short_name
from trajgen_assets.core.provision.setup import SWE_DATA_PROCESS

NO_EXTRAS = unneeded("--no-extras", "each environment is what its lock file says")


class Env(StrEnum):
    """The short names of the environments."""

    HARBOR = "harbor"
    LITELLM = "litellm"
    SWE_DATA_PROCESS = "swe_data_process"
    OPENHANDS = "openhands"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("setup-envs")(setup_envs)


def setup_envs(
    context: typer.Context,
    env: Annotated[list[Env] | None, typer.Option(help="Only this one; repeat the option for more.")] = None,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Build anew though nothing changed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object; what is done goes to stderr.")] = False,
    no_extras: Annotated[bool, NO_EXTRAS] = False,  # noqa: ARG001
) -> None:
    """Build the environments that jobs run in where lock or interpreter changed; leave them as they stand elsewhere.

    That of the pinned converter is built where sft_conversion.engine chooses it, and that of OpenHands where it rolls
    out and openhands.lock is set, or where --env names them.
    """
    state, say = state_of(context), partial(typer.echo, err=as_json)
    root, sources = state.root, sources_in(state.config, say)
    made = []
    names = env or _needed(state.config)
    if Env.SWE_DATA_PROCESS in names:
        sources = {**sources, SWE_DATA_PROCESS: converter_source(load_config(state.config))}
    for name in names:
        say(f"{name}: looking at lock and interpreter")
        if name is Env.OPENHANDS:
            found = ready_environment(load_config(state.config), root.env, say, rebuild=rebuild)
        else:
            found = needed_environment(ENVIRONMENTS[name], root.env, say, rebuild=rebuild, sources=sources)
        made.append(found)
        say(_line(found))
        if has_instance(root) and name is not Env.OPENHANDS:  # its lock is a person's, and has no asset
            with open_instance(root) as instance:
                report_environment(instance, found)
    if not has_instance(root):
        say(f"root {root.path} has no Dagster instance yet; `trajgen setup` makes it, and reports them there")
    if as_json:
        typer.echo(json.dumps({"environments": [_facts(each) for each in made]}, indent=2))


def _needed(config_file: Path) -> list[Env]:
    """Those of jobs, and what the configuration chooses; where it cannot be read, that is nothing."""
    needed = [Env.HARBOR, Env.LITELLM]
    try:
        config = load_config(config_file)
    except ConfigError:
        return needed
    chosen = {Env.SWE_DATA_PROCESS: is_converter_chosen(config), Env.OPENHANDS: is_made_of_lock(config)}
    return [*needed, *(name for name, is_chosen in chosen.items() if is_chosen)]


def _facts(found: Environment) -> dict[str, Any]:
    return {
        "name": short_name(found.name),
        "built": found.built,
        "path": str(found.path),
        "python": found.record.version,
        "n_packages": found.n_packages,
        "size_bytes": found.size_bytes,
    }


def _line(found: Environment) -> str:
    record = found.record
    how = f"built in {record.build_s:.0f} s" if found.built and record.build_s is not None else "unchanged"
    return (
        f"{short_name(found.name)}: {how}: {found.path.name}, {found.n_packages} packages on Python {record.version}, "
        f"{found.size_bytes // 2**20} MB"
    )
