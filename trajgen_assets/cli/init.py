"""`trajgen init`: from your own tasks and model to a first trajectory."""

import re
from pathlib import Path
from typing import Annotated

import typer

from resources.instance import open_instance
from trajgen_assets.cli.setup import prepare_root
from trajgen_assets.cli.start import next_job, run_in_foreground
from trajgen_assets.cli.state import State, state_of
from trajgen_assets.core.atomic import write_text
from trajgen_assets.core.config import Config, redacted
from trajgen_assets.core.config.load import is_unfilled, load_config
from trajgen_assets.core.config.write import minimal_config
from trajgen_assets.core.errors import ConfigError, EndpointError, RequirementError
from trajgen_assets.core.keys import SMOKE_CAMPAIGN
from trajgen_assets.core.preflight.asking import Question
from trajgen_assets.core.preflight.probe import Place
from trajgen_assets.core.preflight.probe import probe as ask_for_one_reply
from trajgen_assets.core.redact import Redactor
from trajgen_assets.core.rollout.docker import check_engine
from trajgen_assets.core.rollout.endpoint import check_reachable
from trajgen_assets.core.rollout.plan import uses_docker

DOCKER_MEND = (
    "install Docker with compose v2 and start its engine, or choose --environment local (no security boundary)"
)
OPTIONS = Place("--model", "--base-url", "--key-env", joint=" ")
OPTION_OF = {
    "llm_api.model": "--model",
    "llm_api.api_base_url": "--base-url",
    "llm_api.api_key": "--key-env",
    "task_source.dataset_name": "--tasks",
    "harbor_job.environment": "--environment",
}
_KEYS = "|".join(map(re.escape, OPTION_OF))
_PROBLEM = re.compile(rf"runtime_info\.input\.({_KEYS}): (.*?)(?: \(line \d+\))?$", re.MULTILINE)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("init")(init)


def init(
    context: typer.Context,
    tasks: Annotated[Path, typer.Option(help="Folder of task folders with verifiable_tasks.txt.")],
    model: Annotated[str, typer.Option(help="provider/name, for example openai/my-model.")],
    base_url: Annotated[str, typer.Option(help="Address of the endpoint, for example http://127.0.0.1:8000/v1.")],
    key_env: Annotated[
        str,
        typer.Option(help="Variable with the endpoint's key: of the environment, or of secrets.env by config.yaml."),
    ],
    environment: Annotated[
        str, typer.Option(help="Where trials run: docker, or local (no security boundary).")
    ] = "docker",
    smoke: Annotated[bool, typer.Option(help="Roll out one task, in campaign smoke, to see it work.")] = True,
) -> None:
    """Write a configuration, probe the endpoint, roll out one task in campaign `smoke`, which counts nowhere else."""
    state = state_of(context).with_own_config()
    folder = tasks.expanduser().absolute()
    if not folder.is_dir():
        raise ConfigError("there is no such folder of tasks", where=folder, mend="name it with --tasks")
    try:
        text, config = minimal_config(
            state.config, tasks=str(folder), model=model, base_url=base_url, key_env=key_env, environment=environment
        )
    except ConfigError as error:
        raise by_option(error) from None
    refuse_to_replace(state.config, config)
    if smoke:
        check_docker(config)
    probe(config)  # before anything is written that a second try would stumble over
    write_text(state.config, text)
    typer.echo(f"wrote {state.config}")
    prepare_root(state)
    if smoke:
        roll_out_one(state)


def by_option(error: ConfigError) -> ConfigError:
    """The same error, with each problem said of the option that the value came from: no file has a line of it yet."""
    why, n = _PROBLEM.subn(lambda found: f"{OPTION_OF[found[1]]}: {found[2]}", error.why or "")
    return ConfigError("the options cannot be used", why=why) if n else error


def refuse_to_replace(path: Path, config: Config) -> None:
    """Leave a configuration that somebody has filled in alone, unless it says the same.

    Raises:
        ConfigError: it says something else.
    """
    if path.exists() and not is_unfilled(path) and redacted(load_config(path)) != redacted(config):
        mend = "edit it by hand, move it away, or name another file with --config"
        raise ConfigError("there is another configuration already", where=path, mend=mend)


def check_docker(config: Config) -> None:
    """Make sure that Docker answers, if trials are to run in it.

    Raises:
        RequirementError: it does not.
    """
    if not uses_docker(config.runtime_info.input.harbor_job.environment):
        return
    try:
        check_engine()
    except RequirementError as error:
        raise RequirementError(error.what, where=error.where, why=error.why, mend=DOCKER_MEND) from error


def probe(config: Config) -> None:
    """Ask the configured endpoint for one short completion.

    Raises:
        ConfigError: its key is not set.
        EndpointError: it is out of reach, or refuses; it names the neighbouring address or model that answers.
    """
    endpoint = config.campaign().llm_api.pool[0]  # `init` writes one
    question = Question(endpoint.model, endpoint.api_base_url, endpoint.api_key.reveal())
    check_reachable(endpoint.api_base_url, mend="check --base-url, and that the endpoint is up")
    try:
        found = ask_for_one_reply(question, OPTIONS)
    except EndpointError as error:
        Redactor.of(config).in_place(error)
        raise
    typer.echo(found.text)


def roll_out_one(state: State) -> None:
    """Roll out the first free task in campaign `smoke`."""
    with state.platform() as platform, open_instance(state.root) as instance:
        job = next_job(platform, instance, campaign=SMOKE_CAMPAIGN, limit=1)
        if job is None:
            return
        code = run_in_foreground(state, platform, instance, job)
    if code == 0:
        typer.echo("it works. Next: `trajgen start --limit 8`, or `trajgen ui` and automation.enabled: true")
    raise typer.Exit(code)
