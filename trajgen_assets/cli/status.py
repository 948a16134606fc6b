"""`trajgen status`: where everything stands, in one screen."""

import typer

from trajgen_assets.cli.ledger.show import balance_line, excluded_by
from trajgen_assets.cli.state import State, state_of
from trajgen_assets.core.clock import now
from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.ledger.models import JobRow, JobState, TaskFilter, TaskStatus
from trajgen_assets.core.ledger.store import open_ledger
from trajgen_assets.core.paths import Root
from trajgen_assets.core.rollout.lost import lost_jobs
from trajgen_assets.core.rollout.slots import live_holders

N_RECENT_JOBS = 5


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("status")(status)


def status(context: typer.Context) -> None:
    """Show tasks, running and recent jobs, pauses, and what to do next."""
    state = state_of(context)
    root = state.root
    with open_ledger(root) as ledger:
        counts = ledger.check_balance()
        typer.echo(f"root {root.path}")
        typer.echo(f"tasks: {balance_line(counts)}")
        if counts.waiting:
            typer.echo(
                f"  {counts.waiting} pending tasks have no usable folder: `trajgen ledger show --status pending`"
            )
        n_excluded = _n_excluded(state, ledger)
        if n_excluded:
            typer.echo(f"  {n_excluded} pending tasks are excluded by excluded_tasks.txt or HARBOR_EXCLUDE_TASKS")
        _show_jobs(root, ledger)
        _show_pauses(ledger)
        n_lost_jobs = sum(1 for _ in lost_jobs(root, ledger))
        typer.echo(f"next: {_next_step(counts.assignable - n_excluded, counts.running, n_lost_jobs=n_lost_jobs)}")


def _n_excluded(state: State, ledger: Ledger) -> int:
    """How many tasks would be free if no list of excluded tasks named them."""
    excluded = excluded_by(state)
    pending = ledger.rows(TaskFilter(status=TaskStatus.PENDING)) if excluded else []
    return sum(row.task_id in excluded and row.eligible and row.listed and row.job is None for row in pending)


def _show_jobs(root: Root, ledger: Ledger) -> None:
    alive = live_holders(root.locks)
    jobs = ledger.jobs()
    for job in [
        *[each for each in jobs if not each.state.is_over],
        *[each for each in jobs if each.state.is_over][-N_RECENT_JOBS:],
    ]:
        typer.echo(f"job {job.name}: {_job_words(job, alive)}")


def _job_words(job: JobRow, alive: set[str]) -> str:
    if job.state is JobState.RUNNING and job.name not in alive:
        return "its driver has died; the next tick or `trajgen start` settles it"
    return f"{job.state.value}, {job.n_tasks} tasks" + (f": {job.note}" if job.note else "")


def _show_pauses(ledger: Ledger) -> None:
    for dataset in sorted({job.dataset for job in ledger.jobs()}):
        breaker = ledger.breaker_state(dataset)
        if breaker.holds(now()):
            typer.echo(f"launches of {dataset} are paused until {breaker.until}: {breaker.cause}")


def _next_step(n_free: int, n_running: int, *, n_lost_jobs: int) -> str:
    if n_lost_jobs:
        return "`trajgen start` settles what the dead driver left, and goes on"
    if n_running:
        return f"{n_running} tasks are being rolled out; `trajgen ui` shows them"
    return f"{n_free} tasks are free: `trajgen start`" if n_free else "nothing is free to roll out"
