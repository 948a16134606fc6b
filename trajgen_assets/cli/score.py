"""`trajgen score`: the rows of jobs scored again, without converting or rolling out anything."""

import json
from typing import Annotated, Any, Literal

import typer

from trajgen_assets.cli import completing
from trajgen_assets.cli.jobs import refuse_unknown_job
from trajgen_assets.cli.judged import judge_jobs
from trajgen_assets.cli.state import state_of
from trajgen_assets.core.counting import count_of
from trajgen_assets.core.sft.convert import rescore_job
from trajgen_assets.core.sft.making import making_data
from trajgen_assets.core.sft.rescore import Rescored
from trajgen_assets.core.sft.score.rules import SCORE_VERSION
from trajgen_assets.core.sft.settings import ConversionSettings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("score")(score)


def score(
    context: typer.Context,
    job: Annotated[
        list[str],
        typer.Argument(metavar="JOB...", help="Names of jobs that have training data.", autocompletion=completing.jobs),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, for each job.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would change, or be asked.")] = False,
    llm: Annotated[
        Literal["checklist", "dynamic"] | None,
        typer.Option(help="Have rows judged by a model, which costs money: by a fixed list, or by one for each task."),
    ] = None,
) -> None:
    """Score the rows of jobs again by today's rules; rows whose score stays are left as they are."""
    with state_of(context).platform() as platform:
        for name in job:
            refuse_unknown_job(platform.root, name)
        if llm is not None:
            judge_jobs(platform, job, llm, as_json=as_json, dry_run=dry_run)
            return
        settings = ConversionSettings.of(platform.config)
        for name in job:
            with making_data(platform.root, name):
                result = rescore_job(platform.root.job(name), settings, dry_run=dry_run)
            facts = _facts(name, result, dry_run=dry_run)
            typer.echo(json.dumps(facts) if as_json else _line(facts))


def _facts(name: str, result: Rescored, *, dry_run: bool) -> dict[str, Any]:
    return {
        "job": name,
        "rows": result.receipt.n_rows,
        "scored": len(result.composites),
        "changed": result.n_changed,
        "mean_composite": result.mean,
        "score_version": SCORE_VERSION,
        "written": result.receipt.changed,
        "dry_run": dry_run,
        "path": str(result.receipt.im),
    }


def _line(facts: dict[str, Any]) -> str:
    done = "would change" if facts["dry_run"] else "changed"
    mean = "" if facts["mean_composite"] is None else f", mean composite {facts['mean_composite']:.4f}"
    rows = count_of(facts["rows"], "row")
    return f"{facts['job']}: {facts['scored']} of {rows} scored{mean}; {facts['changed']} {done}: {facts['path']}"
