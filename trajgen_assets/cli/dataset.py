"""`trajgen dataset`: rows of chosen jobs as one data set, and what data sets there are."""

import json
import os
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any

import dagster as dg
import typer
from rich.table import Table

from resources.instance import dagster_environ, open_instance
from trajgen_assets.cli import completing
from trajgen_assets.cli.start import quiet
from trajgen_assets.cli.state import State, console, state_of
from trajgen_assets.core.counting import count_of
from trajgen_assets.core.errors import UnknownNameError
from trajgen_assets.core.exit_codes import EXIT_FAILED
from trajgen_assets.core.sft.data_sets.making import Made, make_data_set
from trajgen_assets.core.sft.data_sets.receipt import DataSetReceipt, load_data_set
from trajgen_assets.core.sft.data_sets.selection import Selection
from trajgen_assets.core.sft.data_sets.standing import data_sets_of, why_stale
from trajgen_assets.launches import run_config
from trajgen_assets.names import DATA_SET_JOB, DATA_SET_OP, DATA_SETS
from trajgen_assets.partitions import add_partitions

app = typer.Typer(no_args_is_help=True, help="Rows of chosen jobs as one data set.")

AsJson = Annotated[bool, typer.Option("--json", help="As JSON, for programs.")]


@dataclass(frozen=True)
class Shown:
    """The run that shows a data set in Dagster, and what its checks have found."""

    run_id: str | None = None
    is_well: bool = True
    checks: list[dg.AssetCheckEvaluation] = field(default_factory=list)

    @property
    def faults(self) -> list[str]:
        """A line for each check that found something, and where to look if none explains a failure."""
        lines = [f"{_level(each)}: {each.check_name}: {each.description}" for each in self.checks if not each.passed]
        return (
            lines if self.is_well or lines else [f"it is built and not shown: run {self.run_id} in the web UI says why"]
        )


def _level(check: dg.AssetCheckEvaluation) -> str:
    return "failed" if check.severity is dg.AssetCheckSeverity.ERROR else "note"


class Choice(StrEnum):
    """Which trial of a task is taken."""

    BEST = "best"
    FIRST = "first"


@app.command()
def build(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the data set is called, in any place.")],
    jobs: Annotated[
        list[str] | None,
        typer.Option("--jobs", help="A job; repeat the option for more.", autocompletion=completing.jobs),
    ] = None,
    campaign: Annotated[
        list[str] | None, typer.Option("--campaign", help="Instead: all jobs of a campaign that are over.")
    ] = None,
    one_per_task: Annotated[
        Choice | None,
        typer.Option(
            help="Rows of one trial of each task alone: the best by reward and score, or that of the first job."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be in it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Join the rows of converted jobs; with neither jobs nor campaigns, of those it was made of before."""
    if jobs and campaign:
        raise typer.BadParameter("name jobs or campaigns, not both", param_hint="--jobs")
    asked = Selection(
        jobs=tuple(jobs or ()),
        campaigns=tuple(campaign or ()),
        one_per_task=one_per_task.value if one_per_task else None,
    )
    state = state_of(context)
    with state.platform() as platform:
        made = make_data_set(platform, name, asked, dry_run=dry_run)
    shown = Shown() if dry_run else _show_in_dagster(state, made.receipt)
    if as_json:
        typer.echo(json.dumps(_facts(made, shown, dry_run=dry_run)))
    else:
        _say(made, dry_run=dry_run)
    for line in shown.faults:
        typer.echo(line, err=True)
    if not shown.is_well:
        raise typer.Exit(EXIT_FAILED)


@app.command("list")
def list_all(context: typer.Context, as_json: AsJson = False) -> None:
    """All data sets, and which of them are no longer what their jobs give."""
    root = state_of(context).root
    found = [(receipt, why_stale(root, receipt)) for receipt in data_sets_of(root)]
    if as_json:
        typer.echo(json.dumps([_summary(receipt, stale) for receipt, stale in found]))
        return
    if not found:
        typer.echo("there is no data set yet: `trajgen dataset build NAME --jobs JOB`")
        return
    table = Table("data set", "rows", "tasks", "jobs", "rejected", "state", box=None, pad_edge=False)
    for receipt, stale in found:
        n_rejected = sum(receipt.rows.rejected.values())
        numbers = (receipt.rows.n_kept, receipt.tasks.n_tasks, len(receipt.jobs), n_rejected)
        table.add_row(receipt.data_set, *(f"{number:,}" for number in numbers), stale or "current")
    console.print(table)


@app.command()
def show(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Name of a data set.", autocompletion=completing.data_sets)
    ],
    as_json: AsJson = False,
) -> None:
    """What one data set is made of, and what was left out."""
    root = state_of(context).root
    receipt = load_data_set(root.job(name).sft)
    if receipt is None:
        raise UnknownNameError("there is no data set of that name", where=name, mend="see `trajgen dataset list`")
    stale = why_stale(root, receipt)
    if as_json:
        typer.echo(json.dumps(receipt.model_dump(mode="json") | _summary(receipt, stale)))
        return
    typer.echo(f"{name}: {_counts(receipt)}: {receipt.folder}")
    _say_parts(receipt)
    typer.echo(f"state: {stale or 'current'}")


def _show_in_dagster(state: State, receipt: DataSetReceipt) -> Shown:
    """Have a run find what was built, log its event and make its checks: the web UI shows it as any other."""
    os.environ.update(dagster_environ(state.root, state.config))  # the definitions find root and configuration there
    from trajgen_assets.definitions import defs  # 2 s of imports that a dry run need not wait for

    asked = receipt.selection
    config = {"jobs": list(asked.jobs), "campaigns": list(asked.campaigns), "one_per_task": asked.one_per_task or ""}
    with open_instance(state.root) as instance:
        add_partitions(instance, DATA_SETS, [receipt.data_set])
        result = (
            defs()
            .resolve_job_def(DATA_SET_JOB)
            .execute_in_process(
                run_config=quiet(run_config(DATA_SET_OP, **config)),
                instance=instance,
                partition_key=receipt.data_set,
                raise_on_error=False,
            )
        )
        entries = instance.all_logs(result.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    events = [entry.dagster_event for entry in entries]
    return Shown(result.run_id, result.success, [each.asset_check_evaluation_data for each in events if each])


def _say(made: Made, *, dry_run: bool) -> None:
    receipt = made.receipt
    if dry_run:
        state = "would be written" if receipt.changed else "would stay as it is"
    else:
        state = "written" if receipt.changed else "unchanged"
    typer.echo(f"{receipt.data_set}: {_counts(receipt)}, {state}: {receipt.folder}")
    for job, why in made.left_out.items():
        typer.echo(f"  {job} is left out: {why}")
    _say_parts(receipt)


def _say_parts(receipt: DataSetReceipt) -> None:
    for part in receipt.jobs:
        rejected = "".join(f", {n} rejected by {reason}" for reason, n in part.rows.rejected.items())
        typer.echo(f"  {part.job}: {part.rows.n_kept} of {count_of(part.rows.n_in, 'row')}{rejected}")
    if (n := receipt.tasks.n_in_several_jobs) and receipt.selection.one_per_task is None:
        were = count_of(n, "task was", "tasks were")
        typer.echo(f"  {were} done in several jobs; --one-per-task takes the rows of one trial of each")
    for setting, variants in receipt.differences.items():
        told = "; ".join(f"{_short(each.value)} in {', '.join(each.jobs)}" for each in variants)
        typer.echo(f"  converted differently: {setting}: {told}")


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _counts(receipt: DataSetReceipt) -> str:
    rows, tasks, jobs = receipt.rows.n_kept, receipt.tasks.n_tasks, len(receipt.jobs)
    return f"{count_of(rows, 'row')} of {count_of(tasks, 'task')} from {count_of(jobs, 'job')}"


def _facts(made: Made, shown: Shown, *, dry_run: bool) -> dict[str, Any]:
    receipt = made.receipt
    return receipt.model_dump(mode="json") | {
        "left_out": made.left_out,
        "checks": {each.check_name: each.description for each in shown.checks},
        "run_id": shown.run_id,
        "written": receipt.changed and not dry_run,
        "dry_run": dry_run,
        "path": str(receipt.folder),
    }


def _summary(receipt: DataSetReceipt, stale: str | None) -> dict[str, Any]:
    return {
        "data_set": receipt.data_set,
        "rows": receipt.rows.n_kept,
        "tasks": receipt.tasks.n_tasks,
        "jobs": [part.job for part in receipt.jobs],
        "rejected": receipt.rows.rejected,
        "stale": stale,
        "path": str(receipt.folder),
    }
