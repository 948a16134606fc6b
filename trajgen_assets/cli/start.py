"""`trajgen start`: one job in the foreground, on the same instance and ledger as the daemon's."""

import os
from collections import Counter
from typing import Annotated, Any

import dagster as dg
import typer
from dagster._core.utils import make_new_run_id

from resources.instance import dagster_environ, open_instance
from trajgen_assets.cli import completing
from trajgen_assets.cli.earlier import refused
from trajgen_assets.cli.outcome import conclude
from trajgen_assets.cli.prepare import register_all
from trajgen_assets.cli.progress import JobView, shown
from trajgen_assets.cli.state import State, console, state_of
from trajgen_assets.cli.update_repos import update_all
from trajgen_assets.core.counting import count_of
from trajgen_assets.core.errors import ConfigError, RefusedError
from trajgen_assets.core.exit_codes import EXIT_FAILED, EXIT_OK, EXIT_USAGE
from trajgen_assets.core.intake.exclusions import excluded_ids
from trajgen_assets.core.keys import MAIN_CAMPAIGN, SMOKE_CAMPAIGN, TaskKey
from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.ledger.models import AskedBy, JobRow, JobState, Pause, TaskFilter, TaskRow, TaskStatus
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.preflight.host import refuse_elsewhere
from trajgen_assets.core.rollout.batch import assign_batch
from trajgen_assets.core.rollout.budget_notes import refusal_of_job
from trajgen_assets.core.rollout.forcing import take_back_when_ready
from trajgen_assets.core.rollout.recover import recover_lost_jobs
from trajgen_assets.dispatch import let_go
from trajgen_assets.launches import launch_of, run_config, this_process
from trajgen_assets.names import DATA_JOB, JOBS, ROLLOUT_JOB, ROLLOUT_OP
from trajgen_assets.partitions import add_partitions, data_assets, is_converted, show_settled_trials

# A start by hand waits so long for what a dead job left to be ended and settled; then it goes on with other tasks.
RECOVERY_BUDGET_S = 300.0

DRY_RUN_COMMAND = refused(
    "--dry-run-command",
    "what Harbor is told names the proxy of a job that has begun",
    "`trajgen dryrun` checks all that a job needs; the command of each job lies in litellm/<job>/harbor.sh",
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("start")(start)


def start(
    context: typer.Context,
    campaign: Annotated[
        str,
        typer.Option(
            help="Under which campaign: each task is consumed once in each.", autocompletion=completing.campaigns
        ),
    ] = (MAIN_CAMPAIGN),
    dataset: Annotated[
        str | None,
        typer.Option(help="Which data set; default: the first with free tasks.", autocompletion=completing.datasets),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="At most so many tasks. Default: n_tasks, else batch_max."),
    ] = None,
    tasks: Annotated[
        list[str] | None,
        typer.Option(help="These task ids; repeat the option for more.", autocompletion=completing.tasks),
    ] = None,
    force: Annotated[
        bool,
        typer.Option(help="Also those of --tasks that are done, failed or retired; what they had stays on record."),
    ] = False,
    dry_run_command: Annotated[bool, DRY_RUN_COMMAND] = False,  # noqa: ARG001
    update_repos: Annotated[
        bool,
        typer.Option(
            "--update-repos",
            envvar="TRAJGEN_UPDATE_REPOS",
            help="First as `trajgen update-repos`; refused if it fails.",
        ),
    ] = False,
) -> None:
    """Roll out one job in the foreground: stage, roll out, settle, archive, and convert where that is switched on."""
    state = state_of(context)
    if force and not tasks:
        raise typer.BadParameter("it needs --tasks: name what is to be rolled out again", param_hint="--force")
    with state.platform() as platform, open_instance(state.root) as instance:
        if update_repos:
            update_all(platform.config, typer.echo)
        job = next_job(platform, instance, campaign=campaign, dataset=dataset, limit=limit, tasks=tasks, force=force)
        if job is None:
            raise typer.Exit(code_of_no_job(platform.ledger, TaskFilter(campaign, dataset), tasks or [], force=force))
        raise typer.Exit(run_in_foreground(state, platform, instance, job))


def next_job(
    platform: Platform,
    instance: dg.DagsterInstance,
    *,
    campaign: str = MAIN_CAMPAIGN,
    dataset: str | None = None,
    limit: int | None = None,
    tasks: list[str] | None = None,
    force: bool = False,
) -> JobRow | None:
    """Register the manifests and bind free tasks to a new job; None, and a word why, when there are none.

    The job has the id of the run that will drive it from the start, so that no sensor takes it for lost.

    Raises:
        RefusedError: a person has paused launches of what is asked for, or it runs on another machine.
        TrajgenError: with `force`, a job would be refused; nothing was taken back.
    """
    refuse_elsewhere(platform.config.meta_info.resources)
    platform.config.campaign(campaign)  # a mistyped one must leave nothing in the ledger
    if dataset is not None:
        platform.config.source(dataset)
    _settle_first(platform, instance)
    wanted = _register(platform, campaign, instance, limit)
    forced = _keys_of(platform, campaign, dataset, tasks or []) if force else []
    paused: list[Pause] = []
    for name in [source.dataset for source in platform.config.sources() if dataset in (None, source.dataset)]:
        if (pause := platform.ledger.pause_of(name)) is not None:
            paused.append(pause)
            continue
        take_back_when_ready(platform, [key for key in forced if key.dataset == name], typer.echo)
        job = _bind(platform, campaign, name, limit=None if tasks else wanted, tasks=tasks)
        if job is not None:
            return job
    if paused:
        raise RefusedError(paused[0].words, mend=paused[0].mend)
    _say_why_nothing(platform, campaign, dataset)
    return None


def _register(platform: Platform, campaign: str, instance: dg.DagsterInstance, limit: int | None) -> int:
    """Read the manifests into the ledger. Returns how many tasks the job may have at most."""
    inputs = platform.config.runtime_info.input
    wanted = limit or inputs.harbor_job.n_tasks or inputs.automation.batch_max
    register_all(platform, campaign, instance, first=_how_many_to_register(platform, campaign, wanted))
    return wanted


def _bind(
    platform: Platform, campaign: str, dataset: str, *, limit: int | None, tasks: list[str] | None
) -> JobRow | None:
    """Bind free tasks of a data set to a job of this process; say which of the named ones are not free."""
    found = assign_batch(platform, campaign, dataset, asked_by=AskedBy.START, limit=limit, task_ids=tasks)
    for task_id, reason in found.left_out.items():
        typer.echo(f"  {task_id} is left alone: {reason}")
    if found.job is None:
        return None
    platform.ledger.mark_requested(found.job.name, found.job.launch, make_new_run_id(), owner=this_process())
    return platform.ledger.job(found.job.name)


def code_of_no_job(ledger: Ledger, among: TaskFilter, tasks: list[str], *, force: bool) -> int:
    """The exit code where there is nothing to roll out: fine without names, or if all of `tasks` are done already."""
    known = {row.task_id: row.status for row in ledger.rows(among)}
    if not known.keys() >= set(tasks):
        return EXIT_USAGE
    all_done = not force and all(known[task_id] is TaskStatus.DONE for task_id in tasks)
    return EXIT_OK if not tasks or all_done else EXIT_FAILED


def _how_many_to_register(platform: Platform, campaign: str, wanted: int) -> int | None:
    """A check needs no more than it rolls out: each registered task is digested, and is a partition for ever."""
    checks = campaign == SMOKE_CAMPAIGN or platform.config.campaign(campaign).agent.scaffold.sft is None
    return platform.ledger.counts(campaign).registered + wanted if checks else None


def _keys_of(platform: Platform, campaign: str, dataset: str | None, tasks: list[str]) -> list[TaskKey]:
    """The registered tasks with these ids.

    Raises:
        ConfigError: two data sets have one of them.
    """
    rows = [row for row in platform.ledger.rows(TaskFilter(campaign, dataset)) if row.task_id in tasks]
    if twice := [task_id for task_id, n in Counter(row.task_id for row in rows).items() if n > 1]:
        raise ConfigError("several data sets have this task", where=twice[0], mend="choose one with --dataset")
    return [row.key for row in rows]


def _settle_first(platform: Platform, instance: dg.DagsterInstance) -> None:
    """What dead drivers left is settled, and what nobody will launch any more is free again."""
    recovery = recover_lost_jobs(platform, budget_s=RECOVERY_BUDGET_S)
    show_settled_trials(instance, platform.root, recovery.settled)
    words = list(recovery.words)
    let_go(instance, platform, words)
    for line in words:
        typer.echo(line)


def _say_why_nothing(platform: Platform, campaign: str, dataset: str | None) -> None:
    counts = platform.ledger.counts(campaign, dataset)
    exclude = excluded_ids(platform.config, platform.root)
    datasets = [source.dataset for source in platform.config.sources() if dataset in (None, source.dataset)]
    n_free = sum(platform.ledger.free(campaign, each, exclude=exclude).n for each in datasets)
    n_kept = counts.assignable - n_free
    typer.echo(
        f"nothing to roll out: of {counts.registered} registered tasks {counts.done} are done, {counts.failed} failed, "
        f"{counts.skipped} skipped, {counts.waiting} wait for a usable folder, {counts.running + counts.assigned} are "
        f"in a job, {n_kept} are excluded, {n_free} are free. See `trajgen ledger show`."
    )


def run_in_foreground(state: State, platform: Platform, instance: dg.DagsterInstance, job: JobRow) -> int:
    """Run a job and what follows from it in this process. Returns the exit code."""
    os.environ.update(dagster_environ(state.root, state.config))  # the definitions find root and configuration there
    from trajgen_assets.definitions import defs  # 2 s of imports that other commands need not wait for

    definitions = defs()
    rows = platform.ledger.tasks_of_job(job.name)
    console.print(f"job {job.name}: {count_of(len(rows), 'task')} of {job.dataset}, campaign {job.campaign}")
    try:
        _roll_out(state, platform, instance, job, rows, definitions)
    finally:
        unclaimed = platform.ledger.job(job.name).state is JobState.ASSIGNED
        if unclaimed:  # interrupted while it waited: nobody else launches what was started by hand
            platform.ledger.withdraw(job.name, note="interrupted before it began")
    ended = platform.ledger.job(job.name)
    is_meant = platform.ledger.stop_request(job.name) is not None or refusal_of_job(platform.root.job(job.name))
    if unclaimed or (ended.state is JobState.INTERRUPTED and not is_meant):
        raise KeyboardInterrupt  # Dagster has taken the first one for the end of its run
    has_none = ended.state is JobState.REFUSED or not platform.root.job(job.name).trials.exists()
    made = has_none or make_data(platform, instance, ended, definitions)
    return conclude(platform, ended) if made else EXIT_FAILED


def _roll_out(
    state: State,
    platform: Platform,
    instance: dg.DagsterInstance,
    job: JobRow,
    rows: list[TaskRow],
    definitions: dg.Definitions,
) -> None:
    """Execute the rollout job here. How the tasks ended is read from the ledger, so a failure raises nothing."""
    launch = launch_of(instance, [row.key.partition for row in rows])
    with shown(JobView(state.root, job.name, len(rows), platform.ledger)):
        definitions.resolve_job_def(ROLLOUT_JOB).execute_in_process(
            run_config=quiet(run_config(ROLLOUT_OP, job=job.name, wait=True)),
            instance=instance,
            partition_key=launch.partition_key,
            tags={**launch.tags, "trajgen/job": job.name, "trajgen/dataset": job.dataset},
            run_id=job.run_id,
            raise_on_error=False,
        )


def make_data(platform: Platform, instance: dg.DagsterInstance, job: JobRow, definitions: dg.Definitions) -> bool:
    """Sum the job up, and convert it where that is on. Returns whether that went well.

    If it does not, or this process dies, the sensor `finished_jobs` does it: the ledger is told by whoever has done it.

    Raises:
        KeyboardInterrupt: a person interrupted it.
    """
    add_partitions(instance, JOBS, [job.name])
    convert = is_converted(platform.config, job.campaign, platform.root.job(job.name).trials)
    result = definitions.resolve_job_def(DATA_JOB).execute_in_process(
        run_config=quiet({}),
        raise_on_error=False,
        instance=instance,
        partition_key=job.name,
        asset_selection=data_assets(convert=convert),
        tags={"trajgen/job": job.name},
    )
    if _was_interrupted(result):
        rest = f", or `trajgen convert --job {job.name}`" if convert else ""
        typer.echo(f"the daemon makes what is left to be made of this job{rest}", err=True)
        raise KeyboardInterrupt
    if not result.success:
        what = "the job's result or data could not be made, or a check failed"
        typer.echo(f"{what}: run {result.run_id} in the web UI says why", err=True)
    return result.success


def _was_interrupted(result: dg.ExecuteInProcessResult) -> bool:
    """Whether the run ended by an interrupt: Dagster has taken it, and raises nothing."""
    errors = [event.step_failure_data.error for event in result.all_events if event.is_step_failure]
    interrupt = dg.DagsterExecutionInterruptedError.__name__
    return any(error is not None and error.cls_name == interrupt for error in errors)


def quiet(values: dict[str, Any]) -> dict[str, Any]:
    """Run configuration that keeps Dagster's own log off the terminal; it is all in the web UI."""
    return {**values, "loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
