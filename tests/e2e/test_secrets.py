"""No secret of a configuration is anywhere under a root, though daemon, sandbox, verifier and upstream all spread it.

The key of the endpoint stands in `secrets.env` alone. The agent runs `env`, `hostname` and `pwd`; its sandbox and the
verifier print a secret of `env_extra`; the model repeats its key, and what it has seen of the host.
"""

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.canaries import FIELDS, UPSTREAM_KEY, found_in, plant
from tests.e2e.conftest import TASKS, UNSOLVED, Installation
from tests.ports import free_port
from trajgen_assets.core.exit_codes import EXIT_REFUSED, EXIT_USAGE
from trajgen_assets.core.paths import PROJECT, Root
from trajgen_assets.core.rollout.trials import load_trials
from trajgen_assets.core.scripted import running_scripted_model
from trajgen_assets.core.sft.receipt import Receipt, load_receipt
from trajgen_assets.guest.trial_keys import derive_subkey, mint

pytestmark = pytest.mark.e2e

JOB_TIME_S = 180.0
TASK = "acme__looks-around-1"
TOKEN = FIELDS["runtime_info.input.env_extra.CANARY_TOKEN"]
KEY_OF_A_TRIAL = mint(derive_subkey("sk-tm-of-a-proxy"), "a-job", "a-trial")
AUTOMATION = "    automation: {enabled: true}\n"


@dataclass(frozen=True)
class Planted:
    """One task was rolled out by the daemon from a configuration full of secrets."""

    installation: Installation
    config: Path
    output: str

    @property
    def receipt(self) -> Receipt:
        (folder,) = (each for each in self.installation.root.sft_data.iterdir() if each.is_symlink())
        receipt = load_receipt(folder)
        assert receipt is not None
        return receipt

    def run(self, *arguments: str) -> tuple[int, str]:
        return self.installation.run("--config", str(self.config), *arguments)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory, env_dir: Path) -> Iterator[Planted]:
    folder = tmp_path_factory.mktemp("secrets")
    installation = Installation(Root(folder / "root", env_dir))
    _write_task(folder / "looks-cc")
    _write_script(folder / "scripts", installation.root)
    with running_scripted_model(api_key=UPSTREAM_KEY, scripts=folder / "scripts") as model:
        config = plant(folder / "block", base_url=model.base_url, tasks=folder / "looks-cc")
        config.write_text(config.read_text() + AUTOMATION)
        child = installation.begin("--config", str(config), "ui", "--port", str(free_port()))
        try:
            _wait_for_data(installation.root, child)
        finally:
            child.send_signal(signal.SIGINT)
            output, _ = child.communicate(timeout=120)
        yield Planted(installation, config, output)
    assert installation.processes() == []


def _write_task(folder: Path) -> None:
    task = folder / TASK
    shutil.copytree(TASKS / UNSOLVED, task)
    (task / "instruction.md").write_text("Look around.\n")
    (task / "tests" / "test.sh").write_text("#!/bin/bash\nenv; cat /tmp/given\necho 1 > /logs/verifier/reward.txt\n")
    (folder / "verifiable_tasks.txt").write_text(f"{TASK}\n")


def _write_script(folder: Path, root: Root) -> None:
    seen = f"{socket.gethostname()} {root.path}/jobs {PROJECT} {KEY_OF_A_TRIAL}"
    done = {"reasoning": "Done.", "analysis": f"I was told {UPSTREAM_KEY}.", "plan": "Stop.", "complete": True}
    looks = {
        "reasoning": f"Perhaps {seen}.",
        "analysis": f"My key is {UPSTREAM_KEY}, says the gateway; I am on {seen}.",
        "plan": "Look.",
        "commands": [
            {"run": f"echo GIVEN={TOKEN} > /tmp/given; cat /tmp/given", "wait_s": 0.5},
            {"run": "env; hostname; pwd; echo looked > note.txt", "wait_s": 0.5},
            {"run": "cat /proc/self/mountinfo", "wait_s": 0.5},
        ],
    }
    folder.mkdir()
    script = {"task_id": "looks", "match": None, "solves": True, "turns": [looks, done, done]}
    (folder / "looks.yaml").write_text(yaml.safe_dump(script))


def _wait_for_data(root: Root, child: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + JOB_TIME_S
    while not list(root.sft_data.glob("*/lf.json")):
        assert child.poll() is None
        assert time.monotonic() < deadline, "no training data in time"
        time.sleep(0.5)


def test_no_secret_is_in_any_file_of_the_root(planted: Planted) -> None:
    (trials,) = [load_trials(path).trials for path in planted.installation.root.jobs.glob("*/trials.json")]
    assert [(trial.accepted, trial.reward) for trial in trials] == [(True, 1.0)]
    assert found_in(planted.installation.root.path) == []
    assert not any(value in planted.output for value in FIELDS.values())


def test_what_upstream_sandbox_and_verifier_spread_was_there_to_be_found(planted: Planted) -> None:
    jobs = planted.installation.root.jobs
    (said,) = jobs.rglob("test-stdout.txt")
    assert "GIVEN=<redacted:runtime_info.input.env_extra.CANARY_TOKEN>" in said.read_text()
    (record,) = jobs.rglob("litellm-trajectory.jsonl")
    text = record.read_text()
    assert "GIVEN=[redacted]" in text
    assert "My key is [redacted], says the gateway" in text


def test_rows_hold_placeholders_where_the_record_holds_what_the_host_is_called(planted: Planted) -> None:
    root = planted.installation.root
    (record,) = root.jobs.rglob("litellm-trajectory.jsonl")
    known = [KEY_OF_A_TRIAL, str(root.path), str(PROJECT)]
    for value in known:
        assert value in record.read_text()
    for path in (planted.receipt.im, planted.receipt.lf):
        text = path.read_text()
        assert [value for value in known if value in text] == []
        assert "<trial-key>" in text
        assert "<path:root>" in text
    counts = planted.receipt.sft_im.placeholders
    assert counts["<trial-key>"] >= 2
    assert counts["<path:root>"] >= 2
    assert counts["<path:checkout>"] >= 2


def test_an_upstream_that_quotes_the_key_which_it_refuses_leaves_none(planted: Planted) -> None:
    code, output = planted.run("start", "--campaign", "other")
    assert code == EXIT_REFUSED
    assert "No access for token [redacted], sorry." in output
    assert found_in(planted.installation.root.path) == []
    assert not any(value in output for value in FIELDS.values())


def test_an_error_of_the_configuration_shows_no_secret_of_it(planted: Planted, tmp_path: Path) -> None:
    broken = tmp_path / "config.yaml"
    broken.write_text(planted.config.read_text() + "    nonsense: canary-master/key+03\n")
    code, output = planted.installation.run("--config", str(broken), "prepare-tasks")
    assert code == EXIT_USAGE
    assert "unknown key" in output
    assert not any(value in output for value in FIELDS.values())
