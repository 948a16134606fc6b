import json
import shutil
from pathlib import Path

import pytest

from trajgen_assets.core.rollout.kept_task import keep_task
from trajgen_assets.core.rollout.results import task_id_of

LONG_ID = "owner__a-very-long-repository-name-that-harbor-would-cut-1234"
TOML = b'[metadata]\nlanguage = "python"\n'


@pytest.fixture
def trial(tmp_path: Path) -> Path:
    task = tmp_path / "tasks" / LONG_ID
    task.mkdir(parents=True)
    (task / "task.toml").write_bytes(TOML)
    folder = tmp_path / "job" / "owner__a-very__x1"
    folder.mkdir(parents=True)
    config = {"task": {"path": str(task), "source": "py-cc"}, "trial_name": folder.name}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def keep(trial: Path) -> None:
    keep_task(trial, trial.parent.parent / "tasks" / LONG_ID, LONG_ID)


def test_a_trial_says_what_its_task_was_where_the_staged_one_is_gone(trial: Path) -> None:
    keep(trial)
    shutil.rmtree(trial.parent.parent / "tasks")
    config = json.loads((trial / "config.json").read_bytes())
    assert config == {"task": {"path": f"task/{LONG_ID}", "source": "py-cc"}, "trial_name": trial.name}
    assert (trial / config["task"]["path"] / "task.toml").read_bytes() == TOML
    assert task_id_of(trial) == LONG_ID


def test_keeping_a_task_again_changes_nothing(trial: Path) -> None:
    keep(trial)
    before = (trial / "config.json").read_bytes()
    keep(trial)
    assert (trial / "config.json").read_bytes() == before


@pytest.mark.parametrize("content", [None, b"{", b"[1]", b"{}", b'{"task": 7}'])
def test_a_trial_without_a_readable_configuration_stays_as_it_is(trial: Path, content: bytes | None) -> None:
    (trial / "config.json").unlink()
    if content is not None:
        (trial / "config.json").write_bytes(content)
    keep(trial)
    assert not (trial / "task").exists()


def test_a_task_that_is_gone_already_leaves_the_path_as_it_was(trial: Path) -> None:
    before = (trial / "config.json").read_bytes()
    shutil.rmtree(trial.parent.parent / "tasks")
    keep(trial)
    assert ((trial / "config.json").read_bytes(), (trial / "task").exists()) == (before, False)
