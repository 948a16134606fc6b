"""`trajgen prepare-tasks` and `trajgen dryrun`: look at the tasks and at what a job needs, before anything is spent."""

from typing import Annotated

import dagster as dg
import typer

from resources.instance import open_instance
from trajgen_assets.cli.state import state_of
from trajgen_assets.core.errors import ManifestError, TaskError, TrajgenError
from trajgen_assets.core.exit_codes import EXIT_FAILED
from trajgen_assets.core.intake.manifest import read_manifest
from trajgen_assets.core.intake.registration import register_source
from trajgen_assets.core.intake.task import inspect_task
from trajgen_assets.core.keys import MAIN_CAMPAIGN
from trajgen_assets.core.ledger.models import TaskFilter, TaskStatus
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.rollout.batch import stage_for
from trajgen_assets.core.rollout.docker import check_engine
from trajgen_assets.core.rollout.endpoint import check_reachable
from trajgen_assets.core.rollout.plan import uses_docker
from trajgen_assets.partitions import show_new_partitions


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("prepare-tasks")(prepare_tasks)
    app.command("dryrun")(dryrun)


def prepare_tasks(
    context: typer.Context,
    campaign: Annotated[str, typer.Option(help="Under which campaign to register.")] = MAIN_CAMPAIGN,
) -> None:
    """Register what the manifests list and stage every task that is still to be rolled out. Rolls out nothing."""
    state = state_of(context)
    with state.platform() as platform, open_instance(state.root) as instance:
        register_all(platform, campaign, instance, look_at_all=True)
        pending = platform.ledger.rows(TaskFilter(campaign=campaign, status=TaskStatus.PENDING))
        usable = [row for row in pending if row.eligible]
        problems = 0
        for row in usable:
            try:
                stage_for(platform, row)
            except TaskError as error:
                problems += 1
                typer.echo(f"  {row.key.partition}: {error}", err=True)
        typer.echo(f"{len(usable) - problems} tasks staged under {platform.root.tasks}")
        if problems:
            raise typer.Exit(EXIT_FAILED)


def register_all(
    platform: Platform,
    campaign: str,
    instance: dg.DagsterInstance,
    *,
    look_at_all: bool = False,
    first: int | None = None,
) -> None:
    """Read every manifest into the ledger and show its tasks in Dagster; say what cannot be used, and why.

    Raises:
        ManifestError: none of the manifests can be trusted.
    """
    errors: list[ManifestError] = []
    for source in platform.config.sources():
        try:
            registration = register_source(platform.ledger, source, campaign, look_at_all=look_at_all, first=first)
        except ManifestError as error:
            errors.append(error)
            continue
        new = len(registration.result.new)
        typer.echo(f"{source.dataset}: {len(registration.manifest.entries)} listed, {new} new")
        for name, reason in registration.waiting.items():
            typer.echo(f"  {name} waits: {reason}")
        if pending := registration.manifest.pending_words:
            typer.echo(f"  {pending}")
    show_new_partitions(instance, platform.ledger)
    if errors and len(errors) == len(platform.config.sources()):
        raise errors[0]
    for each in errors:
        typer.echo(str(each), err=True)


def dryrun(context: typer.Context) -> None:
    """Check what a job needs, without side effects: configuration, ledger, environments, tasks, model endpoint."""
    state = state_of(context)
    with state.platform() as platform:
        failures = sum(not _check(platform, name) for name in CHECKS)
    if failures:
        typer.echo(f"{failures} checks failed; a job would be refused", err=True)
        raise typer.Exit(EXIT_FAILED)
    typer.echo("ready: `trajgen start`")


def _check(platform: Platform, name: str) -> bool:
    try:
        typer.echo(f"ok    {name}: {CHECKS[name](platform)}")
    except TrajgenError as error:
        typer.echo(f"fail  {name}: {error}")
        return False
    return True


def _ledger(platform: Platform) -> str:
    counts = platform.ledger.check_balance()
    return f"{counts.registered} registered, {counts.done} done, {counts.pending} pending; it balances"


def _environments(platform: Platform) -> str:
    for program in (platform.harbor_env / "bin" / "harbor", platform.litellm_env / "bin" / "litellm"):
        if not program.exists():
            raise TrajgenError("an environment is missing", where=program, mend="run `trajgen setup`")
    return "Harbor and LiteLLM are installed"


def _tasks(platform: Platform) -> str:
    found = []
    for source in platform.config.sources():
        manifest = read_manifest(source.manifest)
        usable = sum(inspect_task(source.folder / task_id).is_usable for task_id in manifest.entries)
        found.append(f"{source.dataset}: {len(manifest.entries)} listed, {usable} usable")
    return "; ".join(found)


def _endpoint(platform: Platform) -> str:
    for campaign in platform.config.campaigns():
        check_reachable(platform.config.campaign(campaign).llm_api.api_base_url)
    return "reachable; its key and model are tried when a job starts"


def _sandboxes(platform: Platform) -> str:
    environment = platform.config.runtime_info.input.harbor_job.environment
    if uses_docker(environment):
        return f"Docker {check_engine()} with compose v2 answers"
    return f"{environment}"


def _secrets(platform: Platform) -> str:
    for campaign in platform.config.campaigns():
        platform.config.campaign(campaign).llm_api.api_key.reveal()
    return "every key that is named is set"


CHECKS = {
    "ledger": _ledger,
    "environments": _environments,
    "tasks": _tasks,
    "keys": _secrets,
    "environment of trials": _sandboxes,
    "model endpoint": _endpoint,
}
