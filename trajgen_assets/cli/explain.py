"""`trajgen explain TASK`: all that is known of one task, and what happens next."""

import json
from typing import Annotated

import typer

from resources.redaction import known_secrets
from trajgen_assets.cli.logs import OfCampaign, TaskName
from trajgen_assets.cli.state import State, state_of
from trajgen_assets.core.errors import UnknownNameError
from trajgen_assets.core.exit_codes import EXIT_OK
from trajgen_assets.core.keys import MAIN_CAMPAIGN
from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.ledger.models import TaskRow
from trajgen_assets.core.ledger.store import open_ledger
from trajgen_assets.core.report.explaining import AttemptFacts, Explanation, explain, listed_nowhere_else
from trajgen_assets.core.report.standing import configured
from trajgen_assets.core.report.trial_logs import harmless
from trajgen_assets.core.rollout.trials import NOT_BEGUN

UNREGISTERED = "not registered yet"
REGISTERS = "the next tick registers it, and so does `trajgen prepare-tasks`"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("explain")(explain_task)


def explain_task(
    context: typer.Context,
    task: TaskName,
    campaign: OfCampaign = MAIN_CAMPAIGN,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Show where a task is listed, how it lies, each attempt with cause, reward and capture, and what happens next."""
    state = state_of(context)
    with open_ledger(state.root) as ledger:
        row = _named(state, ledger, task, campaign, as_json=as_json)
        found = explain(state.root, ledger, configured(state.config), row)
    redact = known_secrets(state.config).text
    if as_json:
        typer.echo(redact(json.dumps(found.as_dict(), indent=2)))
        return
    for line in lines_of(found):
        typer.echo(harmless(redact(line)))


def lines_of(found: Explanation) -> list[str]:
    """The same for people."""
    lines = [f"task:     {found.task}", f"status:   {found.status}", f"listed:   {found.listed}"]
    lines += [f"source:   {found.source}", f"staged:   {found.staged}"]
    for attempt in found.attempts:
        lines += _lines_of_attempt(attempt)
    if not found.attempts:
        lines.append("attempts: none has ended")
    if found.running:
        lines.append(f"running:  {found.running}")
    return [*lines, f"next:     {found.next_step}"]


def _lines_of_attempt(attempt: AttemptFacts) -> list[str]:
    if not attempt.is_begun:
        head = f"attempt {attempt.attempt}: {NOT_BEGUN} (counts as {attempt.counts_as}), capture -, job {attempt.job}"
        return [head, f"  trial: {attempt.folder or 'its folder is gone'}"]
    took = f", took {attempt.duration_s:.0f} s" if attempt.duration_s is not None else ""
    head = (
        f"attempt {attempt.attempt}: {_verdict(attempt)}, job {attempt.job}, began {attempt.began_at or 'never'}{took}"
    )
    places = [("note", attempt.note), ("trial", attempt.folder or "its folder is gone"), ("record", attempt.trajectory)]
    places.append(("patch", attempt.patch))
    return [head, *(f"  {label}: {said}" for label, said in places if said)]


def _verdict(attempt: AttemptFacts) -> str:
    reward = "no reward" if attempt.reward is None else f"reward {attempt.reward:g}"
    capture = f", capture {attempt.capture}" if attempt.capture else ""
    if attempt.is_accepted:
        return f"accepted, {reward}{capture}"
    if attempt.cause is None:
        return f"superseded, {reward}{capture}"
    return f"not accepted: {attempt.cause} (counts as {attempt.counts_as}), {reward}{capture}"


def _named(state: State, ledger: Ledger, task: str, campaign: str, *, as_json: bool) -> TaskRow:
    """The task of this name; of one that is listed and not registered yet, say so and end.

    Raises:
        UnknownNameError: it is unknown, or several data sets have it.
    """
    try:
        (row,) = ledger.named([task], campaign)
    except UnknownNameError:
        plain, _, its_own = task.partition("@")
        task_id = plain.rpartition("/")[2]
        places = list(listed_nowhere_else(configured(state.config), task_id))
        is_of_another = its_own not in ("", MAIN_CAMPAIGN)  # for which no tick registers anything
        if is_of_another or not places or any(row.task_id == plain for row in ledger.rows()):
            raise
        listed = [(f"{source.dataset}/{task_id}", f"line {line} of {source.manifest}") for source, line in places]
        if as_json:
            typer.echo(json.dumps({"status": UNREGISTERED, "listed": dict(listed), "next_step": REGISTERS}, indent=2))
        else:
            for name, place in listed:
                typer.echo(f"{name}: {place}, {UNREGISTERED}")
            typer.echo(f"next:     {REGISTERS}")
        raise typer.Exit(EXIT_OK) from None
    return row
