"""Every way in which a trial can end has its own cause, and a reward only where the verifier measured the agent.

One job for each environment, over one task for each ending. Harbor, the ledger, `trials.json` and Dagster's events
must tell the same.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from resources.instance import open_instance
from tests.docker import needs_docker
from tests.e2e.conftest import CONFIG, KEY_ENV, SECRET, Installation, files_with
from tests.e2e.harbor_alone import run_harbor_alone
from tests.e2e.regrading import patch_records
from tests.e2e.variants import BASE, FaultOfEachTask, Variant, variants_in
from trajgen_assets.core.ledger.models import AttemptRow, BreakerState, JobState, TaskRow
from trajgen_assets.core.ledger.store import open_ledger
from trajgen_assets.core.paths import Root
from trajgen_assets.core.rollout.causes import Cause
from trajgen_assets.core.rollout.docker import leftovers_of
from trajgen_assets.core.rollout.results import TrialResult, read_trial_result
from trajgen_assets.core.rollout.trials import TrialEntry, load_trials
from trajgen_assets.core.scripted import running_scripted_model
from trajgen_assets.core.scripted.faults import Fault

pytestmark = pytest.mark.e2e

ENVIRONMENTS = ("local", pytest.param("docker", marks=needs_docker))
JOB_TIME_S = 240.0
DATA_SET = "matrix-cc"
EXITING_AGENT = '''\
from harbor.agents.installed.base import BaseInstalledAgent

class ExitingAgent(BaseInstalledAgent):
    @staticmethod
    def name():
        return "exiting"

    async def install(self, environment):
        pass

    async def run(self, instruction, environment, context):
        planted = """echo '{"reward": 1}' > /logs/verifier/reward.json"""
        await self.exec_as_agent(environment, command=planted + "; echo internal error >&2; exit 7")
'''


@dataclass(frozen=True)
class EndedJob:
    """All that is known of a job that is over, by task id."""

    environment: str
    installation: Installation
    output: str
    name: str
    state: JobState
    breaker: BreakerState
    results: dict[str, TrialResult]
    rows: dict[str, TaskRow]
    attempts: dict[str, list[AttemptRow]]
    entries: dict[str, TrialEntry]
    events: dict[tuple[str, str], list[dict[str, Any]]]

    @property
    def variants(self) -> tuple[Variant, ...]:
        return variants_in(self.environment)


@pytest.fixture(scope="module", params=ENVIRONMENTS)
def ended(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, env_dir: Path) -> EndedJob:
    folder = tmp_path_factory.mktemp("matrix")
    tasks, variants = folder / DATA_SET, variants_in(request.param)
    for variant in variants:
        variant.write(tasks)
    (tasks / "verifiable_tasks.txt").write_text("".join(f"{variant.name}\n" for variant in variants))
    installation = Installation(Root(folder / "root", env_dir))
    installation.root.path.mkdir()
    with running_scripted_model(api_key=SECRET) as model:
        model.server.faults = FaultOfEachTask(variants)
        settings = {"base_url": model.base_url, "key_env": KEY_ENV, "tasks": tasks, "environment": request.param}
        installation.config.write_text(CONFIG.format(**settings))
        installation.run("setup", "--skip-environments")
        _, output = installation.run("start", timeout_s=JOB_TIME_S)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", "")  # opening the instance sets it
        job = collected(request.param, installation, output)
    assert installation.processes() == []
    return job


def collected(environment: str, installation: Installation, output: str) -> EndedJob:
    with open_ledger(installation.root) as ledger:
        assert len(ledger.jobs()) == 1, output
        job = ledger.jobs()[0]
        rows = {row.task_id: row for row in ledger.rows()}
        attempts = {task_id: ledger.attempts(row.key) for task_id, row in rows.items()}
        breaker = ledger.breaker_state(DATA_SET).state
        ledger.check_balance()
    files = installation.root.job(job.name)
    results = [read_trial_result(path.parent) for path in files.dir.glob("*/result.json")]
    return EndedJob(
        environment=environment,
        installation=installation,
        output=output,
        name=job.name,
        state=job.state,
        breaker=breaker,
        results={result.task_id or "": result for result in results if result is not None},
        rows=rows,
        attempts=attempts,
        entries={entry.task_id: entry for entry in load_trials(files.trials).trials},
        events=events_of(installation.root, job.run_id or ""),
    )


def events_of(root: Root, run_id: str) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Metadata of each event, by asset and task id."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    with open_instance(root) as instance:
        for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION):
            made = entry.asset_materialization
            assert made is not None
            assert made.partition is not None
            metadata = {name: value.value for name, value in made.metadata.items()}
            found.setdefault((made.asset_key.to_user_string(), made.partition.split("/")[-1]), []).append(metadata)
    return found


def test_harbor_s_result_is_read_as_the_right_cause_and_reward(ended: EndedJob) -> None:
    assert {
        task_id: (result.exception_info.exception_type if result.exception_info else None, result.cause, result.reward)
        for task_id, result in ended.results.items()
    } == {variant.name: (variant.exception_in(ended.environment), *variant.in_harbor) for variant in ended.variants}


def test_the_ledger_counts_each_attempt_for_what_it_was(ended: EndedJob) -> None:
    assert {
        task_id: (row.status, row.last_cause, row.reward, [each.kind for each in ended.attempts[task_id]])
        for task_id, row in ended.rows.items()
    } == {variant.name: (variant.status, variant.cause, variant.reward, [variant.kind]) for variant in ended.variants}
    assert {row.n_counted for row in ended.rows.values()} == {0}


def test_trials_json_tells_the_same_and_says_what_harbor_saw(ended: EndedJob) -> None:
    assert {
        task_id: (entry.accepted, entry.status, entry.cause, entry.reward) for task_id, entry in ended.entries.items()
    } == {
        variant.name: (variant.is_accepted, variant.status, variant.cause, variant.reward) for variant in ended.variants
    }
    for variant in ended.variants:
        exception = variant.exception_in(ended.environment)
        said = "none of " if variant.harbor_reward is not None else exception
        assert said is None or str(ended.entries[variant.name].note).startswith(said)


def test_only_accepted_trials_are_trajectories_in_dagster_and_carry_their_reward(ended: EndedJob) -> None:
    rewards = {
        (asset, task_id): [metadata.get("reward") for metadata in each]
        for (asset, task_id), each in ended.events.items()
    }
    prepared = {("prepared_tasks", variant.name): [None] for variant in ended.variants}
    accepted = {("trajectories", variant.name): [variant.reward] for variant in ended.variants if variant.is_accepted}
    assert rewards == prepared | accepted


def test_an_agent_that_ran_out_of_time_is_done_with_what_was_captured_until_then(ended: EndedJob) -> None:
    entry = ended.entries["out-of-time-after-an-answer"]
    assert (entry.capture, entry.status) == ("cut", "done")
    assert entry.n_output_tokens
    assert entry.trajectory is not None
    assert len(ended.attempts[entry.task_id]) == 1


def test_the_final_patch_of_every_agent_that_worked_is_on_record(ended: EndedJob) -> None:
    records = patch_records(ended.installation.root.job(ended.name))
    never_began = (Cause.SANDBOX, Cause.UNCLASSIFIED)
    worked = [variant for variant in ended.variants if variant.cause not in never_began]
    assert {variant.name: getattr(records[variant.name], "status", None) for variant in worked} == {
        variant.name: "ok" if variant.fault is Fault.NONE else "empty" for variant in worked
    }


def test_the_job_itself_is_finished_and_leaves_nothing_behind(ended: EndedJob) -> None:
    assert (ended.state, ended.breaker) == (JobState.FINISHED, BreakerState.CLOSED), ended.output
    assert "Traceback" not in ended.output
    root = ended.installation.root
    assert list(root.sandboxes.glob("*/*")) == []
    assert files_with(SECRET, root.path) == []
    assert ended.environment != "docker" or not leftovers_of(ended.name)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_agent_that_exits_with_an_error_has_no_reward_neither_measured_nor_planted(
    environment: str, tmp_path: Path, env_dir: Path
) -> None:
    agent = {"import_path": "agent_of_the_test:ExitingAgent"}
    results = run_harbor_alone(Root(tmp_path / "root", env_dir), environment, agent, [BASE], EXITING_AGENT)
    result = results[BASE.name]
    assert str(result.note).startswith("NonZeroAgentExitCodeError")
    assert (result.raw_reward, result.cause, result.reward) == (0.0, Cause.UNCLASSIFIED, None)
