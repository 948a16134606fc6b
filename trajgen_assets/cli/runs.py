"""`trajgen runs`: what was driven, when, and how it ended; `runs show` tells all of one."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Annotated

import typer
import yaml
from rich.table import Table

from resources.redaction import known_secrets
from trajgen_assets.cli.state import State, console, state_of
from trajgen_assets.core.errors import ArchiveError, LedgerError
from trajgen_assets.core.ledger.store import open_ledger
from trajgen_assets.core.report.archive import (
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
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="Such as run_007, or the name of its job.")],
    as_json: Annotated[bool, typer.Option("--json", help="Its metadata as one JSON object.")] = False,
) -> None:
    """Show all that is known of a run, its account for people, and where its files lie."""
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
    typer.echo(yaml.safe_dump(metadata.as_dict(), sort_keys=False, allow_unicode=True))
    files = root.job(row.job)
    for label, path in (
        ("archive", folder),
        ("job", files.dir),
        ("proxy and harness", files.proxy),
        ("data", files.sft),
    ):
        if path.exists():
            typer.echo(f"{label}: {path}")


def _mended(state: State) -> Runs:
    """All runs, after what was left open is filed and an index that is behind is made anew; says what was done."""
    root = state.root
    if root.ledger.exists():
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
        ArchiveError: there is none.
    """
    by_name = {key: row for row in rows for key in (row.id, row.job)}
    found = by_name.get(name) or by_name.get(f"run_{name.removeprefix('run_').zfill(3)}")
    if found is not None:
        return found
    nearest = get_close_matches(name, by_name, n=1, cutoff=0.4)
    why = f"the nearest is {nearest[0]}" if nearest else "the archive is empty" if not by_name else None
    raise ArchiveError("there is no such run", where=name, why=why, mend="`trajgen runs` lists them")


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
