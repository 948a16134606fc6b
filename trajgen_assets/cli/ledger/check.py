"""`trajgen ledger check`: ledger, disk and Dagster held against each other."""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Annotated

import dagster as dg
import typer

from resources.instance import dagster_environ, open_instance
from trajgen_assets.cli.ledger.asking import N_SHOWN, AsJson, Yes, agreed, check_choices, publish
from trajgen_assets.cli.ledger.in_dagster import (
    add_missing_partitions,
    differences_in_dagster,
    jobs_without_data,
    report_missing_events,
)
from trajgen_assets.cli.state import State, state_of
from trajgen_assets.core.config.config import Config
from trajgen_assets.core.counting import count_of
from trajgen_assets.core.errors import ConfigError, LedgerError, RequirementError, TrajgenError
from trajgen_assets.core.exit_codes import EXIT_FAILED
from trajgen_assets.core.keys import MAIN_CAMPAIGN
from trajgen_assets.core.ledger.importing import import_found
from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.ledger.store import open_ledger
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.report.differences import Difference, Kind, differences_on_disk, unknown_trials
from trajgen_assets.core.report.found_tasks import Resolver, resolver
from trajgen_assets.core.rollout.reap import reap
from trajgen_assets.core.rollout.recover import recover_lost_jobs


@dataclass(frozen=True)
class Sides:
    """What is compared. Without a configuration or an instance the rest still is."""

    state: State
    ledger: Ledger
    config: Config | None
    instance: dg.DagsterInstance | None
    resolve: Resolver
    digests: bool


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("check")(check)


def check(
    context: typer.Context,
    fix: Annotated[bool, typer.Option("--fix", help="Mend what can be mended without guessing.")] = False,
    digests: Annotated[
        bool, typer.Option(help="Also read every trajectory and compare its digest; large roots take minutes.")
    ] = True,
    dataset: Annotated[str | None, typer.Option(help="The data set of trials that name none.")] = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Hold ledger, disk and Dagster against each other: each difference, what it means, and what mends it.

    Exit code 0 means that there is none, or none is left. A ledger that does not balance is never mended.
    """
    if fix:
        check_choices(yes=yes, dry_run=False, as_json=as_json)
    with _sides(state_of(context), dataset, digests=digests) as sides:
        found = list(_compare(sides))
        fixable = [each for each in found if each.is_fixable]
        if not as_json:
            _show(found)
        if fix and fixable:
            agreed(f"mend {count_of(len(fixable), 'difference')}?", yes=yes)
            _mend(sides, fixable)
            found = list(_compare(sides))
        if as_json:
            typer.echo(json.dumps({"differences": [asdict(each) for each in found]}))
        elif fix and fixable:
            typer.echo("after mending:")
            _show(found)
    if found:
        raise typer.Exit(EXIT_FAILED)


@contextmanager
def _sides(state: State, dataset: str | None, *, digests: bool) -> Iterator[Sides]:
    with open_ledger(state.root) as ledger:
        try:
            config = state.load()
        except ConfigError as error:
            typer.echo(
                f"note: manifests are not compared, because of the configuration: {error.what} ({error.where})",
                err=True,
            )
            config = None
        resolve = resolver(config, ledger.rows(), MAIN_CAMPAIGN, dataset)
        try:
            opened = open_instance(state.root)
        except RequirementError:
            yield Sides(state, ledger, config, None, resolve, digests)
            return
        with opened as instance:
            yield Sides(state, ledger, config, instance, resolve, digests)


def _compare(sides: Sides) -> Iterator[Difference]:
    root, ledger = sides.state.root, sides.ledger
    yield from differences_on_disk(root, ledger, sides.resolve, digests=sides.digests)
    if sides.instance is None:
        means = "there is no Dagster instance, so partitions and events were not compared"
        yield Difference(Kind.NO_INSTANCE, str(root.dagster_home), means, "`trajgen setup`, then check again")
    else:
        yield from differences_in_dagster(sides.instance, root, ledger)


def _show(found: Sequence[Difference]) -> None:
    """Every difference with what it means and its mend; of many of one kind only the first."""
    kinds = Counter(each.kind for each in found)
    shown: Counter[Kind] = Counter()
    for each in found:
        shown[each.kind] += 1
        if shown[each.kind] <= N_SHOWN:
            typer.echo(f"{each.kind.value}: {each.subject}\n  {each.means}.\n  Mend: {each.mend}")
        elif shown[each.kind] == kinds[each.kind]:
            typer.echo(f"{each.kind.value}: … and {kinds[each.kind] - N_SHOWN} more; --json names them all")
    fixable = sum(each.is_fixable for each in found)
    words = f"{count_of(len(found), 'difference')}, {fixable} of them mended by --fix" if found else "no difference"
    typer.echo(words)


def _mend(sides: Sides, found: Sequence[Difference]) -> None:
    """Mend in the order of `Kind`; what fails is said, and found again by the comparison that follows."""
    for kind in Kind:
        subjects = [each.subject for each in found if each.kind is kind]
        if not subjects:
            continue
        try:
            _MENDERS[kind](sides, subjects)
        except TrajgenError as error:
            typer.echo(f"{kind.value}: {error}", err=True)
    publish(sides.state, sides.ledger)


def _settle(sides: Sides, _: Sequence[str]) -> None:
    recover_lost_jobs(_platform(sides))


def _reap(sides: Sides, jobs: Sequence[str]) -> None:
    for job in jobs:
        reap(sides.state.root, job)


def _import(sides: Sides, _: Sequence[str]) -> None:
    import_found(sides.ledger, [], unknown_trials(sides.state.root, sides.ledger, sides.resolve).jobs)


def _add_partitions(sides: Sides, _: Sequence[str]) -> None:
    add_missing_partitions(_instance(sides), sides.ledger)


def _report_events(sides: Sides, _: Sequence[str]) -> None:
    report_missing_events(_instance(sides), sides.state.root, sides.ledger)


def _make_data(sides: Sides, _: Sequence[str]) -> None:
    os.environ.update(
        dagster_environ(sides.state.root, sides.state.config)
    )  # the definitions find root and config there
    from trajgen_assets.cli.start import make_data  # with the definitions 2 s of imports, only where they are needed
    from trajgen_assets.definitions import defs

    definitions, instance = defs(), _instance(sides)
    for job in jobs_without_data(instance, sides.state.root, sides.ledger):
        make_data(_platform(sides), instance, job, definitions)


def _platform(sides: Sides) -> Platform:
    if sides.config is None:
        raise LedgerError("this needs the configuration", where=sides.state.config, mend="fill it in, and check again")
    return Platform(sides.state.root, sides.config, sides.ledger)


def _instance(sides: Sides) -> dg.DagsterInstance:
    if sides.instance is None:
        raise RequirementError("this needs a Dagster instance", mend="run `trajgen setup`")
    return sides.instance


_MENDERS: dict[Kind, Callable[[Sides, Sequence[str]], None]] = {
    Kind.LOST_JOB: _settle,
    Kind.LEFTOVERS: _reap,
    Kind.UNKNOWN_TRIAL: _import,
    Kind.NO_PARTITION: _add_partitions,
    Kind.NO_EVENT: _report_events,
    Kind.NO_DATA: _make_data,
}
