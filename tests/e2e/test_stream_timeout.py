"""An agent whose time is up while a reply streams in: the trial counts, with its reward and a capture that says `cut`.

Terminus-2 asks for whole replies (the failure matrix holds its timeout), so the agent here is a small one that streams.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.harbor_alone import run_harbor_alone
from tests.e2e.variants import SHORT_AGENT, Variant
from tests.integration.load_twin import serving_load_twin
from tests.integration.model_calls import upstream_at
from trajgen_assets.core.capture.evidence import trajectory_file
from trajgen_assets.core.capture.proxy import running_proxy
from trajgen_assets.core.capture.records import iter_records
from trajgen_assets.core.ledger.models import AttemptKind, CaptureVerdict
from trajgen_assets.core.paths import Root
from trajgen_assets.core.rollout.causes import Cause
from trajgen_assets.core.rollout.settle import EndedTrial, settle_trial

pytestmark = pytest.mark.e2e

JOB = "stream-timeout"
TASK = Variant("out-of-time-in-a-stream", reward=1.0, test_sh="echo 1 > /logs/verifier/reward.txt", edits=SHORT_AGENT)
STREAMING_AGENT = """\
import httpx
from harbor.agents.base import BaseAgent
from trial_key import TrialKeyCredentials, api_base, trial_key, trial_of

class StreamingAgent(TrialKeyCredentials, BaseAgent):
    @staticmethod
    def name():
        return "streaming"

    def version(self):
        return "1"

    async def setup(self, environment):
        pass

    async def run(self, instruction, environment, context):
        headers = {"Authorization": f"Bearer {trial_key(trial_of(self.logs_dir))}"}
        async with httpx.AsyncClient(headers=headers, trust_env=False, timeout=None) as client:
            for text in ("call-00001 answer", "call-00002 hang-midway"):
                body = {"model": "m1", "messages": [{"role": "user", "content": text}], "stream": True}
                async with client.stream("POST", f"{api_base()}/chat/completions", json=body) as reply:
                    async for line in reply.aiter_lines():
                        (self.logs_dir / "seen.txt").open("a").write(line + "\\n")
"""


@dataclass(frozen=True)
class Stopped:
    """The trial after its end, and how often the upstream was asked for each call."""

    trial: EndedTrial
    n_tries: dict[str, int]


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory, env_dir: Path) -> Iterator[Stopped]:
    folder = tmp_path_factory.mktemp("stream")
    TASK.write(folder)
    root = Root(folder / "root", env_dir)
    files = root.job(JOB)
    with (
        serving_load_twin() as twin,
        running_proxy(
            env=env_dir / "litellm-venv", folder=files.proxy, job=JOB, upstream=upstream_at(twin.port)
        ) as proxy,
    ):
        secrets = {"TRAJGEN_TRIAL_SUBKEY": proxy.subkey, "TRAJGEN_PROXY_URL": proxy.base_url}
        agent = {"import_path": "agent_of_the_test:StreamingAgent", "model_name": "openai/m1"}
        results = run_harbor_alone(
            root, "local", agent, [folder / TASK.name], STREAMING_AGENT, job=JOB, secrets=secrets
        )
        trial = settle_trial(files, TASK.name, results[TASK.name], cancelled_as=Cause.CANCELLED)
        yield Stopped(trial, dict(twin.n_tries))


def test_the_agent_was_stopped_while_the_reply_came_in(stopped: Stopped) -> None:
    exception = stopped.trial.result.exception_info
    assert exception is not None
    assert exception.exception_type == "AgentTimeoutError"
    seen = (stopped.trial.files.trial(stopped.trial.result.trial_name) / "agent" / "seen.txt").read_text()
    assert "reply to call-00002" in seen
    assert seen.count("[DONE]") == 1


def test_the_trial_counts_with_its_reward(stopped: Stopped) -> None:
    trial = stopped.trial
    assert (trial.cause, trial.kind) == (None, AttemptKind.GRADED)
    assert trial.outcome().reward == 1.0


def test_its_capture_is_cut_and_nothing_else_is_missing(stopped: Stopped) -> None:
    capture = stopped.trial.capture
    assert (capture.verdict, capture.admitted, capture.ok) == (CaptureVerdict.CUT, 2, 1)
    assert capture.disconnected + capture.aborted == 1


def test_no_call_was_made_again(stopped: Stopped) -> None:
    assert stopped.n_tries == {"call-00001": 1, "call-00002": 1}


def test_the_part_that_had_come_is_on_record_as_no_success(stopped: Stopped) -> None:
    trial = stopped.trial
    lines = iter_records(trajectory_file(trial.files.proxy, trial.result.trial_name))
    first, last = [line.value for line in lines if line.value is not None]
    assert (first["success"], last["success"], last["client_disconnected"]) == (True, False, True)
    [choice] = last["response_body"]["choices"]
    assert (choice["finish_reason"], choice["message"]["content"]) == (None, "reply to call-00002 goes on")
    assert "call-00001" not in json.dumps(last)
