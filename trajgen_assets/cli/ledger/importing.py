"""`trajgen ledger import`: what was consumed before, from a published ledger and from jobs on disk."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from trajgen_assets.cli.ledger.asking import AsJson, DryRun, Yes, agreed, check_choices, publish, show_change
from trajgen_assets.cli.ledger.show import balance_line, parts_line
from trajgen_assets.cli.state import State, state_of
from trajgen_assets.core.clock import now
from trajgen_assets.core.config.config import Config
from trajgen_assets.core.counting import count_of
from trajgen_assets.core.errors import BusyError, ConfigError, ManifestError
from trajgen_assets.core.exit_codes import EXIT_FAILED
from trajgen_assets.core.intake.registration import register_source
from trajgen_assets.core.keys import MAIN_CAMPAIGN
from trajgen_assets.core.ledger.comparing import recorded_trials
from trajgen_assets.core.ledger.importing import FoundTask, ImportResult, import_found
from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.ledger.place import has_ledger
from trajgen_assets.core.ledger.published import read_published
from trajgen_assets.core.ledger.store import create_ledger, open_ledger
from trajgen_assets.core.ledger.view import is_edited
from trajgen_assets.core.paths import Root
from trajgen_assets.core.report.found_jobs import FoundJobs, find_jobs
from trajgen_assets.core.report.found_tasks import found_tasks, resolver
from trajgen_assets.core.rollout.slots import live_holders


@dataclass(frozen=True)
class Found:
    """All that is to be imported. `file` is the published ledger, `data` what was read from it."""

    file: Path | None
    data: bytes
    tasks: list[FoundTask]
    jobs: FoundJobs


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("import")(import_ledger)


def import_ledger(
    context: typer.Context,
    file: Annotated[
        Path | None,
        typer.Argument(help="A ledger as YAML, ours or the earlier system's; default: consumption_ledger.yaml."),
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="The data set of ids that name none.")] = None,
    campaign: Annotated[str, typer.Option(help="The campaign of ids that name none.")] = MAIN_CAMPAIGN,
    jobs: Annotated[bool, typer.Option(help="Also the jobs that lie under jobs/.")] = True,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Take over what was consumed before: a published ledger, and the jobs that lie under `jobs/`.

    Done, failed and skipped tasks are kept as such and shown apart; pending and running ones are pending. A trial on
    disk counts if the verifier graded it and its trajectory is there. Where there is no ledger, one is made. Importing
    twice changes nothing.
    """
    check_choices(yes=yes, dry_run=dry_run, as_json=as_json)
    state = state_of(context)
    config = _config_of(state)
    with _ledger_or_stand_in(state.root) as ledger:
        found = _find(state.root, config, ledger, file, campaign, dataset, jobs=jobs)
        preview = import_found(ledger, found.tasks, found.jobs.jobs, dry_run=True)
    result = preview
    if not as_json:
        _show(found, preview)
    is_new = not has_ledger(state.root)
    if not dry_run and (preview.changed or preview.new_trials or is_new):
        agreed(f"import {count_of(len(preview.changed), 'task')}" + (" into a new ledger?" if is_new else "?"), yes=yes)
        result = _import(state, config, found, campaign)
    if as_json:
        typer.echo(json.dumps({"dry_run": dry_run, "unreadable": found.jobs.unreadable} | asdict(result), default=str))
    else:
        _conclude(state, found, dry_run=dry_run)
    if found.jobs.unreadable:
        raise typer.Exit(EXIT_FAILED)


def _config_of(state: State) -> Config | None:
    """The configuration, if it is filled in: manifests tell whose a bare id is, and --dataset does without them."""
    try:
        return state.load()
    except ConfigError as error:
        typer.echo(
            f"note: no manifest is read, because the configuration cannot be: {error.what} ({error.where})", err=True
        )
        return None


@contextmanager
def _ledger_or_stand_in(root: Root) -> Iterator[Ledger]:
    """The ledger; where there is none, an empty one that nobody else sees, to try the import on.

    Raises:
        BusyError: there is none, and a job still runs that the new one would not know.
    """
    if has_ledger(root):
        with open_ledger(root) as ledger:
            yield ledger
        return
    if holders := live_holders(root.locks):
        mend = "end its processes first (Ctrl-C where it was started)"
        raise BusyError("a job of the lost ledger still runs", where=", ".join(sorted(holders)), mend=mend)
    with TemporaryDirectory(prefix="trajgen-import-") as folder:
        create_ledger(Root(Path(folder)))
        with open_ledger(Root(Path(folder))) as ledger:
            yield ledger


def _find(
    root: Root,
    config: Config | None,
    ledger: Ledger,
    file: Path | None,
    campaign: str,
    dataset: str | None,
    *,
    jobs: bool,
) -> Found:
    if config is not None:
        config.campaign(campaign)  # a mistyped one must leave nothing in the ledger
    resolve = resolver(config, ledger.rows(), campaign, dataset)
    source = file or (root.ledger_view if root.ledger_view.exists() else None)
    data, tasks = b"", []
    if source is not None:
        if source.exists() and not source.is_file():  # a device would be read for ever
            raise ConfigError("this is no file", where=source)
        try:
            data = source.read_bytes()
        except OSError as error:
            raise ConfigError("the file cannot be read", where=source, why=error.strerror) from error
        tasks = found_tasks(read_published(data, source), resolve, source, edited=is_edited(source))
    return Found(
        source, data, tasks, find_jobs(root, resolve, recorded=recorded_trials(ledger)) if jobs else FoundJobs()
    )


def _show(found: Found, preview: ImportResult) -> None:
    if found.file is not None:
        typer.echo(f"{found.file}: {count_of(len(found.tasks), 'task')}")
    if found.jobs.jobs:
        n_trials = sum(len(job.trials) for job in found.jobs.jobs)
        typer.echo(f"jobs on disk: {len(found.jobs.jobs)}, with {count_of(n_trials, 'trial')} to be counted")
    for name, reason in found.jobs.unreadable.items():
        typer.echo(f"{name} cannot be read: {reason}", err=True)
    if found.file is None and not found.jobs.jobs:
        typer.echo("nothing was found to import: no consumption_ledger.yaml, and no job with a trial that counts")
    show_change("import", preview.changed, found.jobs.left | preview.left)
    if preview.n_to_register:
        typer.echo(f"{preview.n_to_register} more are pending, revoked or copies: their manifest registers them")


def _import(state: State, config: Config | None, found: Found, campaign: str) -> ImportResult:
    """Import for good, then register the manifests, so that what was imported stands as listed."""
    results: list[ImportResult] = []

    def fill(ledger: Ledger) -> None:
        results.append(import_found(ledger, found.tasks, found.jobs.jobs))

    made = create_ledger(state.root, importing=True, fill=fill)
    with open_ledger(state.root) as ledger:
        if not made:
            fill(ledger)
        for source in config.sources() if config is not None else []:
            with suppress(ManifestError):  # `status` and every start say so again
                register_source(ledger, source, campaign)
    return results[-1]


def _conclude(state: State, found: Found, *, dry_run: bool) -> None:
    if dry_run:
        typer.echo("dry run: nothing was changed")
        return
    _take_over_view(state, found)
    _say_balance(state)


def _take_over_view(state: State, found: Found) -> None:
    """Put a view that was changed by hand aside, now that it was imported, and write it anew."""
    view = state.root.ledger_view
    if found.file is not None and view.exists() and found.file.samefile(view) and is_edited(view):
        if view.read_bytes() != found.data:
            typer.echo(f"{view} was changed meanwhile: import it again", err=True)
            return
        aside = view.with_name(f"{view.stem}.imported-{now():%Y%m%d%H%M%S}.yaml")
        view.rename(aside)
        typer.echo(f"the imported file is kept as {aside}")
    with open_ledger(state.root) as ledger:
        publish(state, ledger)


def _say_balance(state: State) -> None:
    with open_ledger(state.root) as ledger:
        counts = ledger.check_balance()
    typer.echo(balance_line(counts))
    if parts := parts_line(counts):
        typer.echo(f"of these {parts}")
    typer.echo("next: `trajgen ledger check --fix` holds ledger, disk and Dagster against each other")
