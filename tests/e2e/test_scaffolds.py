"""Every scaffold for real: two bundled tasks in containers, through Harbor and the proxy, with the scripted model."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docker import needs_docker
from tests.e2e.conftest import KEY_ENV, SECRET, TASKS, Installation, files_with
from trajgen_assets.core.config.scaffolds import DEFAULT_AGENT, ORACLE, SUPPORTED_SCAFFOLDS, Harness
from trajgen_assets.core.keys import MAIN_CAMPAIGN
from trajgen_assets.core.ledger.models import CaptureVerdict
from trajgen_assets.core.ledger.store import open_ledger
from trajgen_assets.core.paths import JobPaths, Root
from trajgen_assets.core.rollout.docker import HOST_NAME, leftovers_of
from trajgen_assets.core.rollout.host_facts import load_host_facts
from trajgen_assets.core.rollout.trials import load_trials
from trajgen_assets.core.scripted import ScriptedModel, running_scripted_model
from trajgen_assets.core.scripted.script import SCRIPTS
from trajgen_assets.core.sft.im import assistant_turns, read_im
from trajgen_assets.core.sft.messages import content_text
from trajgen_assets.core.sft.receipt import load_receipt
from trajgen_assets.guest.trial_keys import PREFIX

pytestmark = [pytest.mark.e2e, needs_docker, pytest.mark.timeout(900)]  # the first one may have to build the image

IMAGE = "trajgen/sample-agents:1"
DOCKERFILES = Path(__file__).parent / "images" / "agents"
ROLLED_OUT = ("fernhollow__stanzaconf-87", "quillmark__tablefold-341")
SCAFFOLDS = tuple(
    name for name, each in SUPPORTED_SCAFFOLDS.items() if name != ORACLE and each.harness is Harness.HARBOR
)
TEMPERATURE = 0.4

# OpenCode asks for a title beside the conversation.
N_CONVERSATIONS = {"opencode": 2}
# Claude Code changes the model's commands before it runs them and sends them back: it takes away a `cd` to where it is,
# and reads escaped characters.
REWRITES = {"claude-code"}

Message = tuple[str, str, str | None, list[Any]]

CONFIG = """\
runtime_info:
  input:
    llm_api: {{model: openai/scripted, api_base_url: "{base_url}", api_key: "${{{key_env}}}"}}
    task_source: {{dataset_name: "{tasks}"}}
    harbor_job: {{environment: docker, network: proxy_only, n_concurrent: 2, timeout_multiplier: 1}}
    agent: {{name: {agent}, max_turns: {max_turns}, temperature: {temperature}}}
    campaigns: {{{campaigns}}}
    sft_conversion: {{enabled: true, instance_status: all}}
"""


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two bundled tasks whose image has every scaffold in it."""
    subprocess.run(["docker", "build", "--quiet", "--tag", IMAGE, DOCKERFILES], check=True, timeout=600)
    folder = tmp_path_factory.mktemp("tasks") / "with-agents"
    for name in ROLLED_OUT:
        shutil.copytree(TASKS / name, folder / name)
        dockerfile = folder / name / "environment" / "Dockerfile"
        dockerfile.write_text(re.sub(r"^FROM \S+", f"FROM {IMAGE}", dockerfile.read_text()))
    (folder / "verifiable_tasks.txt").write_text("\n".join(ROLLED_OUT) + "\n")
    return folder


@pytest.fixture(scope="module")
def short_model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedModel]:
    """The scripted model, which needs two commands for a task: one to look, one that does all the rest."""
    folder = tmp_path_factory.mktemp("scripts")
    shutil.copy(SCRIPTS / "generic.yaml", folder)
    for name in ROLLED_OUT:
        script = yaml.safe_load((SCRIPTS / f"{name}.yaml").read_text())
        *work, done, confirmed = script["turns"]
        look, *rest = [command["run"] for turn in work for command in turn["commands"]]
        group = "\n".join(["{", *rest, "}"])  # OpenHands takes one command at a time
        begin = [
            {**work[0], "commands": [{"run": look}]},
            {**work[1], "commands": [{"run": group, "wait_s": 2}]},
        ]
        (folder / f"{name}.yaml").write_text(yaml.safe_dump({**script, "turns": [*begin, done, confirmed]}))
    with running_scripted_model(api_key=SECRET, scripts=folder) as model:
        yield model


@pytest.fixture(scope="module")
def in_docker(
    tmp_path_factory: pytest.TempPathFactory, env_dir: Path, tasks: Path, short_model: ScriptedModel
) -> Iterator[Installation]:
    """One root with a campaign for each scaffold."""
    made = Installation(Root(tmp_path_factory.mktemp("scaffolds") / "root", env_dir))
    configure(made, tasks, short_model, max_turns=60)
    yield made
    left = [job for job in job_names(made) if leftovers_of(job)]
    for job in left:
        made.run("reap", job)
    assert left == []
    assert files_with(SECRET, made.root.path) == []


def configure(installation: Installation, tasks: Path, model: ScriptedModel, *, max_turns: int) -> None:
    installation.root.path.mkdir(parents=True)
    others = ", ".join(f"{name}: {{agent: {{name: {name}}}}}" for name in SCAFFOLDS if name != DEFAULT_AGENT)
    text = CONFIG.format(
        base_url=model.base_url,
        key_env=KEY_ENV,
        tasks=tasks,
        agent=DEFAULT_AGENT,
        max_turns=max_turns,
        temperature=TEMPERATURE,
        campaigns=others,
    )
    installation.config.write_text(text)
    installation.run("setup", "--skip-environments")


def job_names(installation: Installation, campaign: str | None = None) -> list[str]:
    with open_ledger(installation.root) as ledger:
        return [job.name for job in ledger.jobs() if campaign in (None, job.campaign)]


def campaign_of(agent: str) -> str:
    return MAIN_CAMPAIGN if agent == DEFAULT_AGENT else agent


@pytest.mark.parametrize("agent", SCAFFOLDS)
def test_a_scaffold_solves_tasks_in_containers_and_its_record_replays(in_docker: Installation, agent: str) -> None:
    code, output = in_docker.run("start", "--campaign", campaign_of(agent))
    assert code == 0, output
    (job,) = job_names(in_docker, campaign_of(agent))
    files = in_docker.root.job(job)
    trials = load_trials(files.trials)
    ended = {each.task_id: (each.reward, each.capture, each.note) for each in trials.trials}
    assert ended == dict.fromkeys(ROLLED_OUT, (1.0, CaptureVerdict.COMPLETE, None)), output
    assert (trials.agent.name, bool(trials.agent.version)) == (agent, True)
    for each in trials.trials:
        records = records_of(files.dir / str(each.trajectory))
        assert {record["request_body"]["temperature"] for record in records} == {TEMPERATURE}
        assert len(replayed(records, arguments=agent not in REWRITES)) == N_CONVERSATIONS.get(agent, 1)
    assert files.result.exists()
    assert_converted(files, agent)
    assert any(name.startswith(f"{HOST_NAME}:") for name in load_host_facts(files.host).proxy)
    assert files_with(PREFIX, files.dir) == []


def assert_converted(files: JobPaths, agent: str) -> None:
    """One row for each trial, thoughts in each turn, calls in all but the last; OpenCode's titles are left out."""
    receipt = load_receipt(files.sft)
    assert receipt is not None
    n_side_calls = len(ROLLED_OUT) * (N_CONVERSATIONS.get(agent, 1) - 1)
    assert receipt.rejected == {"trials": {}, "rows": {"side_call": n_side_calls} if n_side_calls else {}}
    rows = list(read_im(files.sft / "im.jsonl"))
    assert {row["meta_info"]["unique_info"]["_instance_id"] for row in rows} == set(ROLLED_OUT)
    for row in rows:
        facts = row["meta_info"]["unique_info"]
        assert (facts["_agent_type"], facts["n_unmatched_reasoning"]) == ("main", 0)
        *turns, last = assistant_turns(row["messages"])
        assert all(turn["reasoning_content"] for turn in (*turns, last))
        assert all(turn.get("tool_calls") for turn in turns) == (agent != DEFAULT_AGENT)
    assert len(json.loads((files.sft / "lf.json").read_bytes())) == len(rows) == len(ROLLED_OUT)


@pytest.mark.faults
@pytest.mark.parametrize("agent", SCAFFOLDS)
def test_a_trial_whose_agent_used_up_its_turns_is_graded(
    tmp_path: Path, env_dir: Path, tasks: Path, short_model: ScriptedModel, agent: str
) -> None:
    installation = Installation(Root(tmp_path / "root", env_dir))
    configure(installation, tasks, short_model, max_turns=1)
    code, output = installation.run("start", "--campaign", campaign_of(agent))
    assert code == 0, output
    (job,) = job_names(installation)
    trials = load_trials(installation.root.job(job).trials)
    ended = {each.task_id: (each.reward, each.capture, each.accepted) for each in trials.trials}
    is_refused = "max_turns" in SUPPORTED_SCAFFOLDS[agent].by_proxy
    verdict = CaptureVerdict.CUT if is_refused else CaptureVerdict.COMPLETE
    assert ended == dict.fromkeys(ROLLED_OUT, (0.0, verdict, True)), output
    for each in trials.trials:
        records = records_of(installation.root.job(job).dir / str(each.trajectory))
        assert len(records) == N_CONVERSATIONS.get(agent, 1)


def records_of(trajectory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in trajectory.read_text().splitlines()]


def replayed(records: list[dict[str, Any]], *, arguments: bool) -> list[list[Message]]:
    """Each conversation that the recorded calls give when they are played in order.

    A call goes on with a conversation of its session if it begins with all of it, the reply to the last call included;
    else it begins one of its own.
    """
    conversations: dict[str | None, list[list[Message]]] = {}
    for record in records:
        begun = conversations.setdefault(record["client_session_id"], [])
        sent = [plain(message, arguments=arguments) for message in record["request_body"]["messages"]]
        for each in [each for each in begun if sent[: len(each)] == each]:
            begun.remove(each)
        begun.append([*sent, plain(record["response_body"]["choices"][0]["message"], arguments=arguments)])
    return [each for begun in conversations.values() for each in begun]


def plain(message: dict[str, Any], *, arguments: bool) -> Message:
    """What a message says, however it is spelled."""
    functions = [(call["id"], call["function"]) for call in message.get("tool_calls") or []]
    calls = [(id_, each["name"], json.loads(each["arguments"]) if arguments else None) for id_, each in functions]
    return message["role"], content_text(message.get("content")).strip(), message.get("tool_call_id"), calls
