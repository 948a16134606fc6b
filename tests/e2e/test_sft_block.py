"""A job folder as the sft block reads it in its `harbor_job` mode, where nothing but that folder is left.

The reader here is written from what that mode is known to need, without help from the code that wrote the folder.
"""

import json
import shutil
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from trajgen_assets.core.paths import Root
from trajgen_assets.core.rollout.trials import load_trials
from trajgen_assets.core.sft.im import read_im

pytestmark = pytest.mark.e2e

RESOLVED = "1.0"


@dataclass(frozen=True)
class BlockTrial:
    """What the block knows of one resolved trial."""

    instance_id: str
    metadata: dict[str, Any]
    folder: Path

    def calls(self) -> list[dict[str, Any]]:
        """The records of its calls but those that failed, as all scaffolds but Terminus-2 are read."""
        lines = (self.folder / "agent" / "litellm-trajectory.jsonl").read_text(encoding="utf-8").splitlines()
        records = [json.loads(line) for line in lines]
        whole = [each for each in records if each.get("success") is not False]
        return sorted(whole, key=lambda each: float(each["request_time"]))

    def steps(self) -> list[dict[str, Any]]:
        """The steps of Harbor's own trajectory, as Terminus-2 is read."""
        steps: list[dict[str, Any]] = json.loads((self.folder / "agent" / "trajectory.json").read_bytes())["steps"]
        return steps


def trials_in_bucket(job: Path, bucket: str) -> Iterator[BlockTrial]:
    """The trials that `result.json` has under a reward, in its order."""
    for evaluation in json.loads((job / "result.json").read_bytes())["stats"]["evals"].values():
        for name in evaluation["reward_stats"]["reward"].get(bucket, []):
            yield block_trial(job / name)


def block_trial(folder: Path) -> BlockTrial:
    path = Path(json.loads((folder / "config.json").read_bytes())["task"]["path"]).expanduser()
    task = path if path.is_absolute() else folder / path
    assert folder in task.resolve().parents
    metadata = tomllib.loads((task / "task.toml").read_text(encoding="utf-8"))["metadata"]
    assert isinstance(metadata, dict)
    return BlockTrial(task.name, metadata, folder)


@pytest.fixture(scope="module")
def job(finished_demo: Root, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's job where staged tasks, proxy files and data are gone: its folder alone, elsewhere."""
    (made,) = finished_demo.jobs.iterdir()
    return Path(shutil.copytree(made, tmp_path_factory.mktemp("moved") / made.name, symlinks=True))


def test_each_solved_trial_is_found_with_its_task_and_its_metadata(job: Path, finished_demo: Root) -> None:
    expected = {
        entry.task_id: (entry.task.metadata, entry.trial_name)
        for entry in load_trials(finished_demo.job(job.name).trials).trials
        if entry.reward == 1.0
    }
    assert len(expected) > 1
    found = list(trials_in_bucket(job, RESOLVED))
    assert {each.instance_id: (each.metadata, each.folder.name) for each in found} == expected


def test_the_last_call_of_a_trial_ends_the_conversation_that_its_row_has(job: Path, finished_demo: Root) -> None:
    rows = {
        each["meta_info"]["unique_info"]["trial"]: each
        for each in read_im(finished_demo.job(job.name).sft / "im.jsonl")
    }
    assert rows
    for trial in trials_in_bucket(job, RESOLVED):
        last = trial.calls()[-1]
        history, answer = last["request_body"]["messages"], last["response_body"]["choices"][0]["message"]
        said = [message["content"] for message in [*history, answer] if message["role"] == "user"]
        assert [each["content"] for each in rows[trial.folder.name]["messages"] if each["role"] == "user"] == said
        assert answer["role"] == "assistant"
        assert last["usage"]["prompt_tokens"] > 0


def test_harbors_own_trajectory_of_terminus_has_a_step_for_each_answer(job: Path) -> None:
    for trial in trials_in_bucket(job, RESOLVED):
        answers = [step for step in trial.steps() if step["source"] == "agent"]
        assert len(answers) == len(trial.calls())
