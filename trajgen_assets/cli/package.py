"""`trajgen state`: a root's state as one file, and a root from such a file."""

from pathlib import Path
from typing import Annotated

import typer

from resources.redaction import known_secrets
from trajgen_assets.cli.resting import MB, configuration, resting
from trajgen_assets.cli.state import state_of
from trajgen_assets.core.counting import count_of
from trajgen_assets.core.errors import UnknownNameError
from trajgen_assets.core.ledger.store import open_ledger
from trajgen_assets.core.package.form import MOVED, Manifest
from trajgen_assets.core.package.packing import pack
from trajgen_assets.core.package.unpacking import unpack
from trajgen_assets.core.paths import Root

EVERY = "all"

app = typer.Typer(help="Pack the state of a root into one file, to move it to another host; unpack it there.")


@app.command("pack")
def pack_state(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The package to be written, such as state.tar.zst.")],
    jobs: Annotated[
        list[str] | None, typer.Option("--jobs", help=f"Also the folder of this job; repeatable; `{EVERY}` for all.")
    ] = None,
    logs: Annotated[
        bool, typer.Option("--logs", help="Also the logs, and those that swegen wrote beside the sources.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be packed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Pack ledger, exclusions, index, archives, manifests, the configuration without secrets, and jobs if named."""
    state = state_of(context)
    config, redactor = configuration(state), known_secrets(state.config).redactor()
    with resting(state, config):
        chosen = _chosen(state.root, jobs or [])
        manifest = pack(state.root, config, file.absolute(), redactor, jobs=chosen, logs=logs, dry_run=dry_run)
    _say(manifest, f"{'would be packed' if dry_run else 'packed'}: {file}", as_json=as_json)


@app.command("unpack")
def unpack_state(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The package.")],
    to: Annotated[Path | None, typer.Option("--to", help="The new root, instead of the one that --root says.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Make a root from a package: verified as a whole, and never over a ledger."""
    root = Root.from_environ(to) if to else state_of(context).root
    manifest = unpack(file.absolute(), root)
    _say(manifest, f"unpacked: {root.path}", as_json=as_json)
    if not as_json:
        typer.echo(f"put what lies in {root.path / MOVED} where it belongs, fill in the secrets, and run")
        typer.echo(f"  trajgen --root {root.path} setup && trajgen --root {root.path} ledger check --fix --yes")


def _chosen(root: Root, names: list[str]) -> list[str]:
    with open_ledger(root) as ledger:
        known = [job.name for job in ledger.jobs() if root.job(job.name).dir.is_dir()]
        ledger.check_balance()
    if EVERY in names:
        return known
    for name in names:
        if name not in known:
            mend = "`trajgen status` shows their names"
            raise UnknownNameError("there is no job of that name with a folder", where=name, mend=mend)
    return list(dict.fromkeys(names))


def _say(manifest: Manifest, done: str, *, as_json: bool) -> None:
    if as_json:
        typer.echo(manifest.model_dump_json())
        return
    tops = {name: [each for each in manifest.files if each.path.partition("/")[0] == name] for name in manifest.top}
    for name, files in tops.items():
        size = sum(each.size_bytes for each in files) / MB
        typer.echo(f"  {name}: {count_of(len(files), 'file')}, {size:,.2f} MB")
    for name, why in manifest.left.items():
        typer.echo(f"  left out: {name}: {why}")
    typer.echo(f"{done} ({count_of(len(manifest.files), 'file')}, {manifest.size_bytes / MB:,.2f} MB)")
