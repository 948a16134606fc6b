"""`trajgen ledger skip`, `retry` and `reset`: what a person decides about tasks."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

from trajgen_assets.cli import completing
from trajgen_assets.cli.ledger.asking import (
    AsJson,
    DryRun,
    OfCampaign,
    OfCause,
    OfDataset,
    OfJob,
    OfStatus,
    Tasks,
    Yes,
    agreed,
    check_choices,
    publish,
    say_json,
    selected,
    show_change,
)
from trajgen_assets.cli.ledger.show import why
from trajgen_assets.cli.state import State, state_of
from trajgen_assets.core.counting import count_of
from trajgen_assets.core.errors import LedgerError
from trajgen_assets.core.exit_codes import EXIT_FAILED
from trajgen_assets.core.keys import TaskKey
from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.ledger.models import SkipKind, TaskFilter, TaskRow, TaskStatus
from trajgen_assets.core.ledger.people import check_reset, may_be_retried, may_be_skipped
from trajgen_assets.core.ledger.store import open_ledger


@dataclass(frozen=True)
class Decision:
    """A change that a person asks for.

    Attributes:
        verb: what it does to a task, for the question.
        change: makes it; returns the tasks that it changed.
        refusal: why a task is left as it is; empty if it stands so already, None if it is to be changed.
    """

    verb: str
    change: Callable[[Ledger, Sequence[TaskKey]], list[TaskRow]]
    refusal: Callable[[TaskRow], str | None]


@dataclass(frozen=True)
class Manner:
    """How the command is to go about it."""

    yes: bool
    dry_run: bool
    as_json: bool


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("skip")(skip)
    app.command("retry")(retry)
    app.command("reset")(reset)


def skip(
    context: typer.Context,
    reason: Annotated[str, typer.Option(help="Why; it is kept with the tasks.")],
    tasks: Tasks = None,
    campaign: OfCampaign = None,
    dataset: OfDataset = None,
    status: OfStatus = None,
    cause: OfCause = None,
    job: OfJob = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Leave tasks out for good: pending and failed ones become skipped. `reset` takes it back."""

    def refusal(row: TaskRow) -> str | None:
        if may_be_skipped(row, reason):
            return None
        return "" if row.skip_kind is SkipKind.PERSON else _stands(row)

    decision = Decision("skip", lambda ledger, keys: ledger.skip(keys, reason), refusal)
    which = TaskFilter(campaign, dataset, status, cause, job)
    _decide(state_of(context), decision, tasks, which, Manner(yes, dry_run, as_json))


def retry(
    context: typer.Context,
    tasks: Tasks = None,
    campaign: OfCampaign = None,
    dataset: OfDataset = None,
    cause: OfCause = None,
    job: OfJob = None,
    every: Annotated[bool, typer.Option("--all", help="Every task that failed.")] = False,
    memory_multiplier: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            max=100,
            help="Give their sandboxes their task's memory times this. It stays with the task until a later retry says "
            "otherwise; without effect in `environment: local`, which has no limits.",
        ),
    ] = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Let failed tasks be tried again, with all their retries. Earlier attempts stay on record."""

    def refusal(row: TaskRow) -> str | None:
        if may_be_retried(row):
            return None
        if row.status is TaskStatus.FAILED:
            return "it is not in its manifest any more"
        return "" if row.status is TaskStatus.PENDING else _stands(row)

    decision = Decision("retry", lambda ledger, keys: ledger.retry(keys, memory_multiplier), refusal)
    chosen = tasks or every or cause or job or dataset or campaign
    which = TaskFilter(campaign, dataset, None if tasks or not chosen else TaskStatus.FAILED, cause, job)
    _decide(state_of(context), decision, tasks, which, Manner(yes, dry_run, as_json))


def reset(
    context: typer.Context,
    tasks: Annotated[
        list[str],
        typer.Argument(
            help="Task ids, or keys DATASET/ID, of another campaign DATASET/ID@CAMPAIGN.",
            autocompletion=completing.tasks,
        ),
    ],
    campaign: OfCampaign = None,
    force: Annotated[
        bool, typer.Option(help="Also tasks that are done: the accepted attempt is superseded and kept on record.")
    ] = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Make tasks pending again, whatever became of them: skipped, failed, and with `--force` done."""

    def refusal(row: TaskRow) -> str | None:
        if row.status is TaskStatus.PENDING:
            return "" if row.job is None else f"it is held by job {row.job}"
        try:
            check_reset(row, force=force)
        except LedgerError as error:
            return f"{error.what}. Mend: {error.mend}"
        return None

    def change(ledger: Ledger, keys: Sequence[TaskKey]) -> list[TaskRow]:
        return [ledger.reset(key, force=force) for key in keys]

    _decide(
        state_of(context),
        Decision("reset", change, refusal),
        tasks,
        TaskFilter(campaign),
        Manner(yes, dry_run, as_json),
    )


def _decide(state: State, decision: Decision, names: Sequence[str] | None, which: TaskFilter, manner: Manner) -> None:
    """Show what would change, ask, and change it; a task that was named and cannot be changed fails the command."""
    check_choices(yes=manner.yes, dry_run=manner.dry_run, as_json=manner.as_json)
    with open_ledger(state.root) as ledger:
        rows = selected(ledger, names, which)
        refusals = {row.key.partition: decision.refusal(row) for row in rows}
        changing = [row for row in rows if refusals[row.key.partition] is None]
        left = {name: reason or "it stands so already" for name, reason in refusals.items() if reason is not None}
        if not manner.as_json:
            show_change(decision.verb, changing, left)
        if changing and not manner.dry_run:
            agreed(f"{decision.verb} {count_of(len(changing), 'task')}?", yes=manner.yes)
            changing = decision.change(ledger, [row.key for row in changing])
            publish(state, ledger)
        _conclude(changing, left, manner)
    if names and any(refusals.values()):
        raise typer.Exit(EXIT_FAILED)


def _conclude(changed: list[TaskRow], left: Mapping[str, str], manner: Manner) -> None:
    if manner.as_json:
        say_json(changed, left, dry_run=manner.dry_run)
    elif manner.dry_run:
        typer.echo("dry run: nothing was changed")
    elif changed:
        typer.echo(
            f"{count_of(len(changed), 'task')} changed; now {', '.join(sorted({r.status.value for r in changed}))}"
        )


def _stands(row: TaskRow) -> str:
    reason = why(row)
    return f"it is {row.status.value}" + (f" ({reason})" if reason else "")
