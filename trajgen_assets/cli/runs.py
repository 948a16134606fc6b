"""`trajgen runs`: what was driven, when, and how it ended; `runs show` tells all of one."""

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Annotated

import typer
from rich.table import Table

from resources.redaction import known_secrets
from trajgen_assets.cli import completing
from trajgen_assets.cli.state import State, console, state_of
from trajgen_assets.core.counting import count_of
from trajgen_assets.core.errors import LedgerError, UnknownNameError
from trajgen_assets.core.ledger.place import has_ledger
from trajgen_assets.core.ledger.store import open_ledger
from trajgen_assets.core.report.archive import (
    RunMetadata,
    RunRow,
    Runs,
    Status,
    file_left_open,
    mend_index,
    read_metadata,
    read_runs,
)
from trajgen_assets.core.report.archive.filing import MONITOR
from trajgen_assets.core.report.archive.monitor import span

_EDITED = {True: "", False: " with changes", None: ""}

app = typer.Typer(help="List the runs of the archive, newest last, or show one.", invoke_without_command=True)


@app.callback()
def runs(
    context: typer.Context,
    status: Annotated[Status | None, typer.Option(help="Only runs that ended so.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """List the runs, newest last: how each ended, how long it took, and what came of it."""
    if context.invoked_subcommand is not None:
        return
    rows = [row for row in _mended(state_of(context)).rows if status in (None, row.status)]
    if as_json:
        for row in rows:
            typer.echo(row.model_dump_json())
    elif rows:
        console.print(_table(rows))
    else:
        typer.echo(f"no run {'is archived' if status is None else f'ended as {status}'} in this root")


@app.command("show")
def show(
    context: typer.Context,
    run_id: Annotated[
        str,
        typer.Argument(metavar="RUN", help="Such as run_007, or the name of its job.", autocompletion=completing.runs),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="All that is kept of it, as one JSON object.")] = False,
) -> None:
    """Show the account of a run, what it was made from, and where its files lie."""
    state = state_of(context)
    root, row = state.root, _named(_mended(state).rows, run_id)
    folder = root.path / row.archive
    metadata = read_metadata(folder)
    if as_json:
        typer.echo(metadata.model_dump_json())
        return
    monitor = folder / MONITOR
    if monitor.is_file():
        typer.echo(monitor.read_text(encoding="utf-8"))
    for line in made_from(metadata):
        typer.echo(line)
    files = root.job(row.job)
    for label, path in (
        ("archive", folder),
        ("job", files.dir),
        ("proxy and harness", files.proxy),
        ("data", files.sft),
    ):
        if path.exists():
            typer.echo(f"{label}: {path}")


def made_from(run: RunMetadata) -> Iterator[str]:
    """Why a run ended as it did, and a line for each kind of thing that it was made from; none for what is unknown."""
    if run.notes:
        yield f"note: {run.notes}"
    if checkouts := [f"{name} {each.commit[:12]}{_EDITED[each.is_clean]}" for name, each in run.repositories.items()]:
        yield f"checkouts: {', '.join(checkouts)}"
    if built := [f"{name} {each.digest} on Python {each.python}" for name, each in run.environments.items()]:
        yield f"environments: {', '.join(built)}"
    if (manifest := run.inputs.manifest) is not None:
        yield f"manifest: sha256 {manifest.sha256[:12]}, {count_of(manifest.size_bytes, 'byte')}, {manifest.path}"
    if run.inputs.n_excluded:
        yield f"excluded: {count_of(run.inputs.n_excluded, 'task')}"
    yield f"driver: Dagster run {run.dagster_run_id}, exit code {run.exit_code}"


def _mended(state: State) -> Runs:
    """All runs, after what was left open is filed and an index that is behind is made anew; says what was done."""
    root = state.root
    if has_ledger(root):
        try:
            with open_ledger(root) as ledger:
                for run in file_left_open(root, ledger, known_secrets(state.config).redactor()):
                    typer.echo(f"archived job {run.job} as {run.id}, which its driver had not", err=True)
        except LedgerError as error:
            typer.echo(f"what is not archived yet is not shown: {error}", err=True)
    try:
        found = mend_index(root)
    except OSError as error:
        typer.echo(f"the index cannot be written: {error.strerror} ({root.index})", err=True)
        return read_runs(root)
    for word in found.words:
        typer.echo(f"note: {word}" + ("; it was made anew" if found.is_behind else ""), err=True)
    return found


def _named(rows: Iterable[RunRow], name: str) -> RunRow:
    """The run of this id, or the last one of the job of this name.

    Raises:
        UnknownNameError: there is none.
    """
    by_name = {key: row for row in rows for key in (row.id, row.job)}
    found = by_name.get(name) or by_name.get(f"run_{name.removeprefix('run_').zfill(3)}")
    if found is not None:
        return found
    nearest = get_close_matches(name, by_name, n=1, cutoff=0.4)
    why = f"the nearest is {nearest[0]}" if nearest else "the archive is empty" if not by_name else None
    raise UnknownNameError("there is no such run", where=name, why=why, mend="`trajgen runs` lists them")


def _table(rows: Iterable[RunRow]) -> Table:
    table = Table(
        "run", "job", "status", "began", "took", "tasks", "accepted", "reward", "cost", box=None, pad_edge=False
    )
    for row in rows:
        status = row.status if row.n_runs in (None, 1) else f"{row.status} ({row.n_runs} runs)"
        began, took = row.started_at[:16].replace("T", " "), span(row.started_at, row.completed_at)
        figures = (_figure(row.n_tasks), _figure(row.n_accepted), _figure(row.mean_reward, ".2f"))
        cost = "-" if row.cost_usd is None else f"${row.cost_usd:.2f}"
        table.add_row(row.id, row.job, status, began, took, *figures, cost)
    return table


def _figure(value: float | None, form: str = "d") -> str:
    return "-" if value is None else format(value, form)
