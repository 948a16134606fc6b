"""`trajgen demo`: the main job on the bundled tasks with the bundled scripted model, through Dagster's own daemon."""

import os
import secrets
import subprocess
import time
from dataclasses import replace
from typing import Annotated

import dagster as dg
import typer
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES

from resources.instance import open_instance
from trajgen_assets.cli.outcome import task_table
from trajgen_assets.cli.progress import JobView, shown
from trajgen_assets.cli.setup import prepare_root
from trajgen_assets.cli.state import State, console, state_of
from trajgen_assets.cli.ui import daemon, serve
from trajgen_assets.core.atomic import write_text
from trajgen_assets.core.config.load import load_config
from trajgen_assets.core.counting import count_of
from trajgen_assets.core.errors import HarnessError, RefusedError, RequirementError
from trajgen_assets.core.intake.registration import register_source
from trajgen_assets.core.keys import MAIN_CAMPAIGN
from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.ledger.models import JobRow, JobState, TaskFilter
from trajgen_assets.core.ledger.store import open_ledger
from trajgen_assets.core.paths import DAGSTER_URL_ENV, LEDGER_URL_ENV, PROJECT, Root
from trajgen_assets.core.scripted.running import running_scripted_model

TASKS = PROJECT / "examples" / "swe_tasks" / "py-cc"
KEY_ENV = "TRAJGEN_SCRIPTED_KEY"

# The daemon needs some 10 s to load the code, the sensor 30 s from tick to tick.
QUIET_LIMIT_S = 180.0
LOOK_EVERY_S = 0.5

CONFIG = """\
# Written by `trajgen demo`, anew each time. The model is scripted: it replays prepared answers for these tasks.
runtime_info:
  input:
    llm_api: {{model: openai/scripted, api_base_url: "{base_url}", api_key: "${{{key_env}}}"}}
    task_source: {{dataset_name: "{tasks}"}}
    harbor_job: {{environment: local, n_concurrent: 2, timeout_multiplier: 1}}
    automation: {{enabled: true}}
    sft_conversion: {{enabled: true, instance_status: all}}
"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(demo)


def demo(
    context: typer.Context,
    show: Annotated[
        bool, typer.Option("--ui", help="Open the web UI on what the demo made, instead of running it.")
    ] = False,
    port: Annotated[int, typer.Option(help="Port of that web UI.")] = 3000,
) -> None:
    """Roll out the bundled tasks with a scripted model, in a root of their own (artifacts/demo). No key, no Docker."""
    state = demo_state(state_of(context))
    for name in (LEDGER_URL_ENV, DAGSTER_URL_ENV):  # what is shown here has no business among real work
        os.environ.pop(name, None)
    os.environ[KEY_ENV] = secrets.token_urlsafe(24)
    with running_scripted_model(api_key=os.environ[KEY_ENV]) as model:
        write_demo_config(state, model.base_url)
        prepare_root(state)
        if show:
            serve(state, port)
        with open_ledger(state.root) as ledger:
            for source in load_config(state.config).sources():
                ledger.clear(source.dataset)  # an earlier demo's refusals say nothing about this one's model
            if is_finished(state, ledger):
                console.print(
                    "nothing to roll out: every usable task of the demo has been consumed already, exactly once"
                )
            else:
                with daemon(state) as child:
                    _watch(state, ledger, child)
            _conclude(state, ledger)
            _raise_for_unfinished(ledger)


def demo_state(state: State) -> State:
    """The demo's own root, unless another one was given."""
    root = (
        state.root
        if state.root.path != Root.from_environ().path
        else replace(state.root, path=PROJECT / "artifacts" / "demo", ledger_url=None)
    )
    return State(root, root.path / "config.yaml", state.verbose)


def write_demo_config(state: State, base_url: str) -> None:
    """Write the demo's configuration; the scripted model has a new port each time."""
    write_text(state.config, CONFIG.format(base_url=base_url, key_env=KEY_ENV, tasks=TASKS))


def is_finished(state: State, ledger: Ledger) -> bool:
    """Whether nothing is left to roll out, to settle or to convert."""
    for source in load_config(state.config).sources():
        register_source(ledger, source, MAIN_CAMPAIGN)
    counts = ledger.counts(MAIN_CAMPAIGN)
    if counts.assignable or counts.assigned or counts.running or ledger.jobs_needing_downstream():
        return False
    with open_instance(state.root) as instance:
        return not instance.get_runs_count(dg.RunsFilter(statuses=NOT_FINISHED_STATUSES))


def _watch(state: State, ledger: Ledger, child: subprocess.Popen[bytes]) -> None:
    """Show what the daemon does until all is done, refused or quiet for too long."""
    console.print("Dagster's daemon is starting; its sensor will read the manifest and request the runs")
    before = {job.name for job in ledger.jobs()}
    quiet = _Quiet(state)
    while not is_finished(state, ledger):
        if child.poll() is not None:
            raise RequirementError("Dagster's daemon ended by itself", where=state.root.logs, mend="read its log there")
        jobs = [job for job in ledger.jobs() if job.name not in before]
        _raise_for_refusal(jobs)
        running = next((job for job in jobs if job.state is JobState.RUNNING), None)
        if running is not None:
            _show(state, ledger, running, child)
        quiet.check(f"{ledger.counts()} {[(job.name, job.state) for job in jobs]}")
        time.sleep(LOOK_EVERY_S)


def _show(state: State, ledger: Ledger, job: JobRow, child: subprocess.Popen[bytes]) -> None:
    """Show one job's progress until it is over."""
    console.print(f"job {job.name}: {count_of(job.n_tasks, 'task')}")
    with shown(JobView(state.root, job.name, job.n_tasks, ledger)):
        while child.poll() is None and ledger.job(job.name).state is JobState.RUNNING:
            time.sleep(LOOK_EVERY_S)
    console.print(f"  {ledger.job(job.name).state.value}; its result and data set are made by a run of their own")


class _Quiet:
    """Gives up when nothing has changed for too long."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._seen = ""
        self._since_s = time.monotonic()

    def check(self, seen: str) -> None:
        if seen != self._seen:
            self._seen, self._since_s = seen, time.monotonic()
        elif time.monotonic() - self._since_s > QUIET_LIMIT_S:
            raise HarnessError("the demo makes no progress", where=self._state.root.logs, mend="read the logs there")


def _raise_for_refusal(jobs: list[JobRow]) -> None:
    for job in jobs:
        if job.state is JobState.REFUSED:
            raise RefusedError("the job was refused, and no task was consumed", where=job.name, why=job.note)
        if job.state is JobState.FAILED:
            raise HarnessError("the job failed", where=job.name, why=job.note)


def _conclude(state: State, ledger: Ledger) -> None:
    """The table, the files, and what to type next."""
    jobs = [job for job in ledger.jobs() if job.state is JobState.FINISHED]
    for job in jobs:
        console.print(task_table(state.root, ledger, job.name))
        for path in sorted(state.root.job(job.name).sft.glob("*")):
            console.print(f"  {path.relative_to(PROJECT) if path.is_relative_to(PROJECT) else path}")
    waiting = [row for row in ledger.rows(TaskFilter(campaign=MAIN_CAMPAIGN)) if not row.eligible]
    for row in waiting:
        console.print(f"{row.task_id} was left alone: {row.ineligible_reason}")
    console.print("\nsee it in Dagster's web UI:  make ui-demo")
    console.print("with your own model:         .venv/bin/trajgen init --tasks DIR --model M --base-url U --key-env K")


def _raise_for_unfinished(ledger: Ledger) -> None:
    counts = ledger.check_balance()
    if counts.failed:
        raise HarnessError(
            "a task of the demo has no valid result", mend="see `trajgen --root artifacts/demo ledger show`"
        )
