"""`trajgen stop JOB`: end one job, whoever drives it, or let it end with the trials that run."""

import getpass
import os
import time
from difflib import get_close_matches
from typing import Annotated

import typer

from trajgen_assets.cli import completing
from trajgen_assets.cli.jobs import SHOWN
from trajgen_assets.cli.ledger.asking import publish
from trajgen_assets.cli.state import State, state_of
from trajgen_assets.core.counting import count_of
from trajgen_assets.core.errors import LedgerError, RefusedError, UnknownNameError
from trajgen_assets.core.exit_codes import EXIT_FAILED
from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.ledger.models import JobRow, JobState
from trajgen_assets.core.ledger.store import open_ledger
from trajgen_assets.core.rollout.lost import lost_jobs

# Harbor has a minute to end its trials, and the rest takes seconds.
PATIENCE_S = 180.0
LOOK_EVERY_S = 0.5


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("stop")(stop)


def stop(
    context: typer.Context,
    job: Annotated[
        str, typer.Argument(help="Name of the job, as `trajgen status` shows it.", autocompletion=completing.open_jobs)
    ],
    drain: Annotated[
        bool, typer.Option("--drain", help="Let the trials that run end, and start no more; does not wait for that.")
    ] = False,
) -> None:
    """End a job of the daemon or of a terminal. What ended is kept, and the unfinished tasks are pending again."""
    state = state_of(context)
    with open_ledger(state.root) as ledger:
        row = _named(ledger, job)
        if row.state.is_over:
            typer.echo(f"{row.name} is over already: {_end_of(row)}")
            return
        if _withdrawn(ledger, row):
            typer.echo(
                f"{row.name} had not begun: it is given up, and its {count_of(row.n_tasks, 'task')} are free again"
            )
            publish(state, ledger)
            return
        _ask(state, ledger, row, drain=drain)
        if not drain:
            _wait_for_end(ledger, row)


def this_person() -> str:
    """How whoever calls a command is named in the ledger."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a user id without a name, as in many containers
        return f"user {os.getuid()}"


def _named(ledger: Ledger, name: str) -> JobRow:
    """The job of this name.

    Raises:
        UnknownNameError: there is none.
    """
    jobs = {row.name: row for row in ledger.jobs()}
    if name in jobs:
        return jobs[name]
    near = get_close_matches(name, jobs, n=1, cutoff=0.4)
    why = f"the nearest is {near[0]}" if near else None
    raise UnknownNameError("there is no job of that name", where=name, why=why, mend=SHOWN)


def _withdrawn(ledger: Ledger, row: JobRow) -> bool:
    """Give up a job that waits. Whoever waits with it is told when they look; False if it has begun."""
    if row.state is not JobState.ASSIGNED:
        return False
    try:
        ledger.withdraw(row.name, note=f"stopped by {this_person()} before it began")
    except LedgerError:  # it was claimed meanwhile
        return False
    return True


def _ask(state: State, ledger: Ledger, row: JobRow, *, drain: bool) -> None:
    """Leave the request where the job's driver looks.

    Raises:
        RefusedError: nobody drives it any more.
    """
    if row.name in {lost.row.name for lost in lost_jobs(state.root, ledger)}:
        mend = "the next tick or `trajgen start` settles it"
        raise RefusedError("nothing drives this job any more, so nobody can stop it", where=row.name, mend=mend)
    standing = ledger.ask_to_stop(row.name, this_person(), drain=drain)
    if drain and not standing.drain:
        typer.echo(f"{row.name} was asked to stop at once already, by {standing.asked_by}")
    elif drain:
        typer.echo(f"{row.name} starts no more trials, and ends when those that run have ended")


def _wait_for_end(ledger: Ledger, row: JobRow) -> None:
    typer.echo(f"{row.name} is being ended")
    deadline = time.monotonic() + PATIENCE_S
    while not (now := ledger.job(row.name)).state.is_over:
        if time.monotonic() > deadline:
            typer.echo("it has not ended yet: `trajgen status` shows when it has", err=True)
            raise typer.Exit(EXIT_FAILED)
        time.sleep(LOOK_EVERY_S)
    n_accepted = sum(attempt.accepted for _, attempt in ledger.job_attempts(row.name))
    typer.echo(f"{_end_of(now)}; {n_accepted} of {count_of(row.n_tasks, 'task')} have a result from it")


def _end_of(row: JobRow) -> str:
    at = f" at {row.finished_at:%Y-%m-%d %H:%M:%S} UTC" if row.finished_at else ""
    return f"{row.state}{at}" + (f", {row.note}" if row.note else "")
