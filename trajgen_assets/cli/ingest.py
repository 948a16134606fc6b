"""`trajgen ingest`: runs of OpenHands that were made elsewhere, into ledger and lineage, each row once."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from resources.instance import open_instance
from trajgen_assets.cli import completing
from trajgen_assets.cli.ledger.asking import N_SHOWN, publish
from trajgen_assets.cli.state import State, state_of
from trajgen_assets.core.config.config import Config
from trajgen_assets.core.counting import count_of
from trajgen_assets.core.errors import ConfigError, RequirementError
from trajgen_assets.core.keys import MAIN_CAMPAIGN, TaskKey
from trajgen_assets.core.ledger.comparing import recorded_trials
from trajgen_assets.core.ledger.importing import ImportResult, import_found
from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.ledger.store import open_ledger
from trajgen_assets.core.locks import locked
from trajgen_assets.core.openhands.ingested_job import remove_leftovers, write_job
from trajgen_assets.core.openhands.ingesting import FoundRow, FoundRuns, Resolve, find_rows, ingested_jobs, known_trials
from trajgen_assets.core.report.found_jobs import our_job
from trajgen_assets.core.report.found_tasks import resolver

app = typer.Typer(no_args_is_help=True, help="Take in finished runs that were made elsewhere.")


@dataclass
class Ingested:
    """What came of one call; `taken` is of all folders together."""

    found: FoundRuns
    taken: ImportResult | None = None
    notes: list[str] = field(default_factory=list)


@app.command("openhands")
def ingest_openhands(
    context: typer.Context,
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Folders with an output.jsonl at any depth.")],
    dataset: Annotated[
        str | None, typer.Option(help="The data set of the rows. Default: the one that lists their ids.")
    ] = None,
    campaign: Annotated[
        str, typer.Option(help="The campaign of the rows.", autocompletion=completing.campaigns)
    ] = MAIN_CAMPAIGN,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be taken in, and change nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Take in finished runs of OpenHands' Multi-SWE-bench harness: rows, calls, patches and evaluators' reports.

    Each row is taken in once, by its content, wherever it lies. One without a verdict, or whose calls are not all
    there, makes its task not done. Then `trajgen convert` makes training data of the jobs, or the daemon does.
    """
    state = state_of(context)
    config = _config_of(state, campaign)
    with open_ledger(state.root) as ledger, locked(state.root.locks / "ingest"):
        resolve = _resolve(config, ledger, campaign, dataset)
        known = known_trials(state.root) | {trial for _, trial in recorded_trials(ledger)}
        done = Ingested(_all_rows(folders, known, resolve))
        if not dry_run:
            _write_jobs(state, ledger, done)
            done.taken = _take_in(state, ledger)
            done.notes += _report(state, ledger)
            publish(state, ledger)
    _say(done, dry_run=dry_run, as_json=as_json)


def _config_of(state: State, campaign: str) -> Config | None:
    """The configuration, which names campaigns and data sets; none where it is not filled in, as on a host that only
    collects.
    """
    try:
        config = state.load()
    except ConfigError as error:
        typer.echo(f"note: no data set is known by a manifest: {error.what} ({error.where})", err=True)
        return None
    config.campaign(campaign)
    return config


def _resolve(config: Config | None, ledger: Ledger, campaign: str, dataset: str | None) -> Resolve:
    """A data set that is named need not be known here: its rows were run elsewhere."""
    if dataset is not None:
        return lambda task_id: TaskKey(campaign, dataset, task_id)
    return resolver(config, ledger.rows(), campaign, None)


def _all_rows(folders: Sequence[Path], known: set[str], resolve: Resolve) -> FoundRuns:
    """The rows of all folders; one that lies in two is taken from the first."""
    total, seen = FoundRuns(), set(known)
    for folder in dict.fromkeys(each.resolve() for each in folders):
        found = find_rows(folder, seen, resolve)
        seen |= {each.trial_name for rows in found.rows.values() for each in rows}
        total.rows |= {place: total.rows.get(place, []) + rows for place, rows in found.rows.items()}
        total.aside |= found.aside
        total.n_known += found.n_known
    return total


def _write_jobs(state: State, ledger: Ledger, done: Ingested) -> None:
    remove_leftovers(state.root)
    counts = Counter({row.key: row.n_attempts for row in ledger.rows()})

    def ordinal_of(key: TaskKey) -> int:
        counts[key] += 1
        return counts[key]

    for rows in done.found.rows.values():
        write_job(state.root, rows, ordinal_of)


def _take_in(state: State, ledger: Ledger) -> ImportResult:
    """Have the ledger know every ingested job on disk, those that an earlier call was killed over, too."""
    recorded: dict[str, set[str]] = {}
    for job, trial in recorded_trials(ledger):
        recorded.setdefault(job, set()).add(trial)
    jobs = [our_job(state.root, files.dir, recorded.get(files.dir.name, set())) for files in ingested_jobs(state.root)]
    return import_found(ledger, [], [job for job in jobs if job.trials])


def _report(state: State, ledger: Ledger) -> list[str]:
    """Have Dagster show what is done; without an instance that is left to `ledger check --fix`."""
    from trajgen_assets.cli.ledger.in_dagster import add_missing_partitions, report_missing_events  # 2 s of imports

    try:
        opened = open_instance(state.root)
    except RequirementError:
        return ["there is no Dagster instance: `trajgen setup`, then `trajgen ledger check --fix` shows them there"]
    with opened as instance:
        add_missing_partitions(instance, ledger)
        report_missing_events(instance, state.root, ledger)
    return []


def _say(done: Ingested, *, dry_run: bool, as_json: bool) -> None:
    found, taken = done.found, done.taken
    rows = [each for listed in found.rows.values() for each in listed]
    if as_json:
        said: dict[str, Any] = {"dry_run": dry_run, "n_new": found.n_new, "n_known": found.n_known}
        said["new"] = [
            {"task": each.key.partition, "trial": each.trial_name, "evaluation": each.evaluation.found.value}
            | {"reward": each.evaluation.reward}
            for each in rows
        ]
        said |= {"jobs": taken.new_jobs if taken else [], "trials": taken.new_trials if taken else []}
        typer.echo(json.dumps(said | {"left": taken.left if taken else {}, "aside": found.aside, "notes": done.notes}))
        return
    for name, why in list(found.aside.items())[:N_SHOWN]:
        typer.echo(f"{name} is no row: {why}")
    if len(found.aside) > N_SHOWN:
        typer.echo(f"… and {len(found.aside) - N_SHOWN} more; --json names them all")
    classes = Counter(each.evaluation.found.value for each in rows)
    told = f": {', '.join(f'{count} {name}' for name, count in sorted(classes.items()))}" if rows else ""
    known = f"{count_of(found.n_known, 'row')} known already, {count_of(len(found.aside), 'line')} put aside"
    typer.echo(f"{count_of(found.n_new, 'new row')}{told}; {known}")
    if taken is None:
        typer.echo("dry run: nothing was changed")
        return
    for name, why in taken.left.items():
        typer.echo(f"{name} is left alone: {why}")
    for name in taken.new_jobs:
        typer.echo(f"{name}: {count_of(sum(each.startswith(f'{name}/') for each in taken.new_trials), 'trial')}")
    for note in done.notes:
        typer.echo(f"note: {note}", err=True)
    if taken.new_jobs:
        typer.echo(f"next: {_next_step(rows)}")


def _next_step(rows: Sequence[FoundRow]) -> str:
    """What becomes of jobs that were taken in; `rows` are those of this call."""
    if rows and all(each.evaluation.reward is None for each in rows):
        return "none of them has a verdict, so none becomes training data: ingest them again with their reports"
    return "`trajgen convert` makes their training data; a daemon that runs does it by itself"
