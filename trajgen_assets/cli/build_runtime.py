"""`trajgen build-runtime`: an agent for images that lack it."""

from typing import Annotated

import typer

from trajgen_assets.cli.state import state_of
from trajgen_assets.core.paths import PROJECT
from trajgen_assets.core.runtimes.build import Runtime, blueprint_of, build_runtime
from trajgen_assets.core.runtimes.tools import tools_here


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("build-runtime")(build)


def build(
    context: typer.Context,
    scaffold: Annotated[str, typer.Argument(help="claude-code, opencode, openhands-sdk or mini-swe-agent.")],
    version: Annotated[
        str | None, typer.Option(help="Another version than the lock pins; it is resolved once, and then kept.")
    ] = None,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Build anew though nothing changed.")] = False,
) -> None:
    """Build the agent of a scaffold from the package registries; jobs mount it read-only into their containers."""
    tools = tools_here(PROJECT, state_of(context).root.env, typer.echo)
    runtime = build_runtime(blueprint_of(scaffold), tools, version=version, rebuild=rebuild)
    for line in _lines(runtime):
        typer.echo(line)


def _lines(runtime: Runtime) -> list[str]:
    manifest = runtime.manifest
    how = f"built in {manifest.build_s:.0f} s" if runtime.built else "unchanged"
    first, *_ = manifest.packages.values()
    packages = f"packages  {len(manifest.packages)}, locked by sha256:{manifest.lock_sha256}"
    if len(manifest.packages) == 1:
        packages = f"package   {next(iter(manifest.packages))} {first.version}, {first.digest}"
    return [
        f"{manifest.scaffold} {manifest.version}: {how}: {runtime.path.name}, {manifest.size_bytes // 2**20} MB",
        packages,
        f"files     {manifest.n_files}, sha256:{manifest.tree_sha256}",
        f"programs  {', '.join(manifest.programs)}",
        f"needs     {manifest.needs}",
    ]
