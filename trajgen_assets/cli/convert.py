"""`trajgen convert`: training data from jobs that were rolled out, without rolling out anything."""

import json
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from trajgen_assets.cli import completing
from trajgen_assets.cli.choosing import choose_jobs
from trajgen_assets.cli.converted import Converted, sum_of
from trajgen_assets.cli.state import state_of
from trajgen_assets.core.config.config import Config
from trajgen_assets.core.config.inputs import NAMED_REPO_LISTS
from trajgen_assets.core.config.scaffolds import sft_name_of, sft_scaffold_problem
from trajgen_assets.core.errors import ConfigError, TrajgenError
from trajgen_assets.core.exit_codes import EXIT_FAILED
from trajgen_assets.core.paths import JobPaths
from trajgen_assets.core.placing import data_in, place_data
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.redact import Redactor
from trajgen_assets.core.sft.convert import convert_job, foresee_job
from trajgen_assets.core.sft.engine.converter import Converter, converter_of
from trajgen_assets.core.sft.making import making_data
from trajgen_assets.core.sft.settings import (
    ConversionSettings,
    InstanceStatus,
    LfFormat,
    OverLength,
    ReasoningMode,
    listed_repos,
    located_tokenizer,
)
from trajgen_assets.core.sft.tasks_today import tasks_today


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("convert")(convert)


def convert(
    context: typer.Context,
    named: Annotated[
        list[str] | None,
        typer.Argument(metavar="[JOB...]", help="Jobs; `latest` is the newest.", autocompletion=completing.jobs),
    ] = None,
    job: Annotated[
        list[str] | None, typer.Option(help="As an argument; may be repeated.", autocompletion=completing.jobs)
    ] = None,
    take_all: Annotated[
        bool, typer.Option("--all", help="All jobs that are over and that data can be made of.")
    ] = False,
    since: Annotated[
        str | None, typer.Option(metavar="DATE|JOB", help="As --all, from this job or this time (UTC) on.")
    ] = None,
    scaffold: Annotated[
        str | None, typer.Option(help="What the jobs were rolled out with; another than that is refused.")
    ] = None,
    instance_status: Annotated[InstanceStatus | None, typer.Option(help="Which rewards to take.")] = None,
    max_instances: Annotated[int | None, typer.Option(min=1, help="Trials kept at most, of each job.")] = None,
    exclude_repos: Annotated[
        str | None,
        typer.Option(
            "--exclude-repos",
            "--exclude-repos-file",
            metavar="swe_bench|none|FILE",
            help="Leave out tasks from these repositories; a file has one owner/repo a line.",
        ),
    ] = None,
    reasoning_check_mode: Annotated[
        ReasoningMode | None, typer.Option(help="Whether every model turn must show its reasoning, or a share.")
    ] = None,
    reasoning_content_ratio_threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="That share, for adaptive.")
    ] = None,
    tokenizer_name: Annotated[
        str | None, typer.Option(help="Counts the tokens of rows: a folder, a tokenizer.json, or owner/name@commit.")
    ] = None,
    cutoff_len: Annotated[int | None, typer.Option(min=1, help="Tokens above which a row is too long.")] = None,
    over_length: Annotated[OverLength | None, typer.Option(help="Leave such rows out, or cut them.")] = None,
    lf_format: Annotated[LfFormat | None, typer.Option("--format", help="Shape of the rows in lf.json.")] = None,
    out_dir: Annotated[
        Path | None, typer.Option(help="Write into this folder; what the jobs have already stays the current data.")
    ] = None,
    skip_unchanged: Annotated[bool, typer.Option("--skip-unchanged", hidden=True)] = False,  # noqa: ARG001
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, for each job.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be kept and rejected.")] = False,
) -> None:
    """Turn the accepted trajectories of jobs into IM and LF data sets; unchanged inputs are left as they are.

    Options go before what config.yaml says, and are in the receipt. A job that fails does not stop the others.
    """
    chosen = {
        "scaffold": scaffold and sft_name_of(scaffold),
        "instance_status": instance_status,
        "max_instances": max_instances,
        "reasoning_check_mode": reasoning_check_mode,
        "reasoning_content_ratio_threshold": reasoning_content_ratio_threshold,
        "cutoff_len": cutoff_len,
        "over_length": over_length,
        "lf_format": lf_format,
    }
    with state_of(context).platform() as platform:
        settings = _settings(platform.config, chosen, exclude_repos, tokenizer_name)
        converter = converter_of(platform.config, platform.root.env, partial(typer.echo, err=True))
        jobs = choose_jobs(platform, [*(named or ()), *(job or ())], take_all=take_all, since=since)
        results = []
        for name, files in [(name, _files(platform, name, out_dir)) for name in jobs.names]:
            results.append(_convert(platform, name, files, settings, converter, dry_run=dry_run))
            _show(results[-1], as_json=as_json)
    for name, why in jobs.left_out.items():
        typer.echo(f"left out: {name}: {why}", err=True)
    if not as_json and len(results) != 1:
        typer.echo(sum_of(results))
    if any(each.error or each.n_unforeseen for each in results):
        raise typer.Exit(EXIT_FAILED)


def _settings(
    config: Config, chosen: dict[str, Any], exclude_repos: str | None, tokenizer_name: str | None
) -> ConversionSettings:
    if chosen["scaffold"] is not None and (problem := sft_scaffold_problem(chosen["scaffold"])):
        raise ConfigError(problem, where="--scaffold")
    said = {name: value for name, value in chosen.items() if value is not None}
    if exclude_repos is not None:  # an empty word is none, as it was in the earlier system
        choice = exclude_repos or "none"
        choice = choice if choice in NAMED_REPO_LISTS else str(Path(choice).absolute())
        said["exclude_repos_file"] = listed_repos(config, choice)
    if tokenizer_name is not None:
        here = Path(tokenizer_name).absolute()
        said["tokenizer_name"] = located_tokenizer(config, str(here) if here.exists() else tokenizer_name)
    return ConversionSettings.of(config).model_copy(update=said)


def _files(platform: Platform, name: str, out_dir: Path | None) -> JobPaths:
    files = platform.root.job(name)
    return files if out_dir is None else data_in(platform.root, files, out_dir.absolute())


def _convert(
    platform: Platform,
    name: str,
    files: JobPaths,
    settings: ConversionSettings,
    converter: Converter | None,
    *,
    dry_run: bool,
) -> Converted:
    try:
        tasks = tasks_today(platform, name)
        if dry_run:
            foreseen = foresee_job(files, settings, tasks, converter=converter)
            return Converted(
                name, "would be written" if foreseen.changed else "unchanged", foreseen.trials, foreseen.rows
            )
        if files == platform.root.job(name):
            place_data(platform.root, platform.config, files)
        with making_data(platform.root, name):
            return Converted.of(convert_job(files, settings, tasks, converter=converter))
    except (TrajgenError, OSError) as error:  # the other jobs are converted; the exit code tells of this one
        return Converted(name, "failed", error=Redactor.of(platform.config).error(error))


def _show(result: Converted, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(result.as_json()))
    elif result.error is not None:
        typer.echo(f"{result.job}: failed: {result.error}", err=True)
    else:
        typer.echo("\n".join(result.lines()))
