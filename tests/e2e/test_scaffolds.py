"""Every scaffold for real: two bundled tasks in containers, through Harbor and the proxy, with the scripted model."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docker import needs_docker
from tests.e2e.conftest import KEY_ENV, SECRET, TASKS, Installation, files_with
from trajgen_assets.core.config.scaffolds import ORACLE, SUPPORTED_SCAFFOLDS
from trajgen_assets.core.ledger.models import CaptureVerdict
from trajgen_assets.core.ledger.store import open_ledger
from trajgen_assets.core.paths import Root
from trajgen_assets.core.rollout.docker import leftovers_of
from trajgen_assets.core.rollout.trials import load_trials
from trajgen_assets.core.scripted import ScriptedModel
from trajgen_assets.core.sft.messages import content_text

pytestmark = [pytest.mark.e2e, needs_docker]

IMAGE = "trajgen/sample-agents:1"
DOCKERFILES = Path(__file__).parent / "images" / "agents"
ROLLED_OUT = ("fernhollow__stanzaconf-87", "quillmark__tablefold-341")
SCAFFOLDS = tuple(name for name in SUPPORTED_SCAFFOLDS if name != ORACLE)

# OpenCode asks for a title beside the conversation.
N_BRANCHES = {"opencode": 2}

# Claude Code changes the model's commands before it runs them and sends them back: it takes away a `cd` to where it is,
# and reads escaped characters.
REWRITES = {"claude-code"}

Message = tuple[str, str, str | None, list[Any]]

CONFIG = """\
runtime_info:
  input:
    llm_api: {{model: openai/scripted, api_base_url: "{base_url}", api_key: "${{{key_env}}}"}}
    task_source: {{dataset_name: "{tasks}"}}
    harbor_job: {{environment: docker, n_concurrent: 2, timeout_multiplier: 1}}
    agent: {{name: {agent}, max_turns: 60, temperature: 0.4}}
    sft_conversion: {{enabled: true, instance_status: all}}
"""


@pytest.fixture(scope="session")
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


@pytest.fixture
def in_docker(tmp_path: Path, env_dir: Path) -> Iterator[Installation]:
    made = Installation(Root(tmp_path / "root", env_dir))
    yield made
    for job in job_names(made):
        made.run("reap", job)
        assert not leftovers_of(job)
    assert files_with(SECRET, made.root.path) == []


def job_names(installation: Installation) -> list[str]:
    with open_ledger(installation.root) as ledger:
        return [job.name for job in ledger.jobs()]


@pytest.mark.parametrize("agent", SCAFFOLDS)
def test_a_scaffold_solves_tasks_in_containers_and_its_record_replays(
    in_docker: Installation, tasks: Path, model: ScriptedModel, agent: str
) -> None:
    in_docker.root.path.mkdir(parents=True)
    text = CONFIG.format(base_url=model.base_url, key_env=KEY_ENV, tasks=tasks, agent=agent)
    in_docker.config.write_text(text)
    in_docker.run("setup", "--skip-environments")
    code, output = in_docker.run("start")
    assert code == 0, output
    trials = load_trials(in_docker.root.job(only(job_names(in_docker))).trials)
    ended = {each.task_id: (each.reward, each.capture, each.note) for each in trials.trials}
    assert ended == dict.fromkeys(ROLLED_OUT, (1.0, CaptureVerdict.COMPLETE, None)), output
    assert trials.agent.version
    for each in trials.trials:
        records = records_of(in_docker.root.job(trials.job).dir / str(each.trajectory))
        assert {record["request_body"]["temperature"] for record in records} == {0.4}
        assert len(replayed(records, arguments=agent not in REWRITES)) == N_BRANCHES.get(agent, 1)


def only(names: list[str]) -> str:
    (name,) = names
    return name


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
