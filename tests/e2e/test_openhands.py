"""The whole path of OpenHands' harness: rows of a file become rollouts, verdicts and training data by one `start`."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docker import needs_docker
from tests.e2e.conftest import KEY_ENV, Installation, files_with
from tests.faults import Points
from tests.openhands_checkout.making import SCRIPTS, StandIn, make_stand_in, msb_row, row, write_rows
from tests.waiting import wait_until
from trajgen_assets.cli.setup import prepare_root
from trajgen_assets.cli.state import State
from trajgen_assets.core.checkouts.pin import pins_of
from trajgen_assets.core.checkouts.update import update
from trajgen_assets.core.config.load import load_config
from trajgen_assets.core.exit_codes import EXIT_FAILED, EXIT_INTERRUPTED
from trajgen_assets.core.keys import MAIN_CAMPAIGN, TaskKey
from trajgen_assets.core.ledger.models import AttemptKind, TaskStatus
from trajgen_assets.core.ledger.store import open_ledger
from trajgen_assets.core.openhands.trial import HarnessRecord
from trajgen_assets.core.rollout.causes import Cause
from trajgen_assets.core.rollout.trials import TrialEntry, load_trials
from trajgen_assets.core.scripted import running_scripted_model

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400), needs_docker]

DATASET = "tasks"
BENCH = "multi_swe_bench.jsonl"  # the rows that its own evaluator grades by
BEGUN_S = 120.0
SOLVED, UNSOLVED, DEAD = (f"acme__greeter-{number}" for number in range(1, 4))


def task(task_id: str, **stand_in: Any) -> dict[str, Any]:
    """A row with the test that Velora's evaluator wants to see pass."""
    return row(task_id, **stand_in) | {"FAIL_TO_PASS": ["test_greeting"]}


def configure(
    installation: Installation, stand_in: StandIn, base_url: str, rows: list[dict[str, Any]], **openhands: Any
) -> None:
    """A configuration as the guide's settings would be, and the rows that it names."""
    folder = installation.root.path
    write_rows(folder / "rows" / f"{DATASET}.jsonl", rows)
    write_rows(folder / "rows" / BENCH, [msb_row(each) for each in rows])
    (folder / "verified.txt").write_text("".join(f"{each['instance_id']}\n" for each in rows))
    inputs = {
        "llm_api": {"model": "openai/scripted", "api_base_url": base_url, "api_key": f"${{{KEY_ENV}}}"},
        "task_source": {
            "provider": "multi_swe_jsonl",
            "dataset_name": f"rows/{DATASET}.jsonl",
            "manifest": "verified.txt",
        },
        "rollout": {"harness": "openhands"},
        "openhands": {
            "evaluator": "velora",
            "python": str(stand_in.python),
            "language": "python",
            "max_iterations": 8,
            "use_instance_image": False,
            "native_tool_calling": True,
            "timeout_s": 120,
            "eval_timeout_s": 60,
            **openhands,
        },
        "harbor_job": {"environment": "docker", "n_concurrent": 2, "max_retries": 0, "max_infra_retries": 0},
        "sft_conversion": {"enabled": True, "instance_status": "all"},
    }
    config = {"meta_info": {"repositories": {"openhands": stand_in.repository}}, "runtime_info": {"input": inputs}}
    installation.config.write_text(yaml.safe_dump(config))
    prepare_root(State(installation.root, installation.config, verbose=False))
    update(pins_of(load_config(installation.config))["openhands"], print)


def entries_of(installation: Installation) -> dict[str, TrialEntry]:
    (trials,) = installation.root.jobs.glob("*/trials.json")
    return {entry.task_id: entry for entry in load_trials(trials).trials}


@pytest.fixture
def stand_in(tmp_path: Path) -> StandIn:
    return make_stand_in(tmp_path / "made")


@pytest.mark.parametrize(
    "openhands",
    [
        pytest.param({"evaluator": "velora", "native_tool_calling": True}, id="velora-native-calls"),
        pytest.param(
            {"evaluator": "msb", "evaluator_dataset": f"rows/{BENCH}", "native_tool_calling": False},
            id="msb-calls-in-text",
        ),
    ],
)
def test_one_start_infers_evaluates_and_makes_training_data(
    installation: Installation, stand_in: StandIn, openhands: dict[str, Any]
) -> None:
    rows = [task(SOLVED), task(UNSOLVED, fixed_by="guten tag"), task(DEAD, goes="dies")]
    with running_scripted_model(scripts=SCRIPTS) as model:
        configure(installation, stand_in, model.base_url, rows, **openhands)
        code, said = installation.run("start", timeout_s=300)
    assert code == EXIT_FAILED, said  # one of the tasks came to nothing
    with open_ledger(installation.root) as ledger:
        found = {each: ledger.task(TaskKey(MAIN_CAMPAIGN, DATASET, each)) for each in (SOLVED, UNSOLVED, DEAD)}
    ends = {each: (task.status, task.reward, task.last_cause) for each, task in found.items()}
    assert ends == {
        SOLVED: (TaskStatus.DONE, 1.0, None),
        UNSOLVED: (TaskStatus.DONE, 0.0, None),
        DEAD: (TaskStatus.FAILED, None, Cause.HARNESS),
    }
    entries = entries_of(installation)
    assert {entry.capture for entry in entries.values()} == {"complete"}
    assert "ended with exit code 1 and left no row" in (entries[DEAD].note or "")
    check_left(installation, entries[SOLVED])
    check_data(installation)


def check_left(installation: Installation, entry: TrialEntry) -> None:
    """The guide's tree, the trial's own record, and nothing else: no worktree, no key."""
    (job,) = installation.root.jobs.iterdir()
    outputs = job / "openhands" / f"data__{entry.trial_name}.jsonl-train" / "CodeActAgent" / "scripted_maxiter_8"
    assert {"output.jsonl", "metadata.json", "llm_completions"} <= {path.name for path in outputs.iterdir()}
    trial = job / str(entry.trial_name)
    record = HarnessRecord.model_validate_json((trial / "openhands.json").read_bytes())
    assert (record.row_class, record.verdict, record.run) == ("finished", "resolved", str(outputs.relative_to(job)))
    assert None not in (record.metadata, record.metrics)
    assert (trial / "artifacts" / "predict_patch.diff").read_text().endswith("+hello\n")
    assert list(installation.root.sandboxes.glob("*")) == []
    assert files_with("sk-tk-", job) == []
    (script,) = installation.root.archives.glob("*/scripts/openhands.sh")
    assert "export EVAL_SKIP_MAXIMUM_RETRIES_EXCEEDED=true" in script.read_text()


def check_data(installation: Installation) -> None:
    """Both graded trials are training data, in both forms, with their calls as calls."""
    (job,) = installation.root.jobs.iterdir()
    folder = installation.root.sft_data / job.name
    rows = [json.loads(line) for line in (folder / "im.jsonl").read_text().splitlines()]
    assert {row["meta_info"]["unique_info"]["_instance_id"] for row in rows} == {SOLVED, UNSOLVED}
    assert len(json.loads((folder / "lf.json").read_bytes())) == len(rows)
    for each in rows:
        assert each["tools"]
        assert any(message.get("tool_calls") for message in each["messages"])


@pytest.mark.faults
def test_a_job_whose_driver_was_killed_is_settled_once_and_keeps_its_rows(
    installation: Installation, stand_in: StandIn, tmp_path: Path
) -> None:
    points = Points(tmp_path / "points")
    points.arm("openhands_work_ended")
    with running_scripted_model(scripts=SCRIPTS) as model:
        configure(installation, stand_in, model.base_url, [task(SOLVED), task(UNSOLVED, fixed_by="guten tag")])
        killed = replace(installation, extra_environ=points.environ).begin("start")
        os.kill(points.wait("openhands_work_ended", limit_s=BEGUN_S), signal.SIGKILL)
        killed.communicate()
        code, said = installation.run("start", timeout_s=300)
    assert code == 0, said
    with open_ledger(installation.root) as ledger:
        keys = [TaskKey(MAIN_CAMPAIGN, DATASET, each) for each in (SOLVED, UNSOLVED)]
        assert [(ledger.task(each).status, ledger.task(each).reward) for each in keys] == [
            (TaskStatus.DONE, 1.0),
            (TaskStatus.DONE, 0.0),
        ]
        graded = [each for key in keys for each in ledger.attempts(key) if each.accepted]
        assert ledger.check_balance()
    assert len(graded) == 2
    (first, *_) = sorted(installation.root.jobs.glob("*/trials.json"), key=lambda path: path.stat().st_mtime)
    assert any(entry.accepted for entry in load_trials(first).trials)  # by recovery: it was not rolled out again
    assert list(installation.root.sandboxes.glob("*")) == []


@pytest.mark.faults
@pytest.mark.parametrize("how", ["interrupt", "stop"])
def test_a_job_that_is_ended_gives_its_tasks_back_and_ends_its_processes(
    installation: Installation, stand_in: StandIn, how: str
) -> None:
    with running_scripted_model(scripts=SCRIPTS) as model:
        configure(installation, stand_in, model.base_url, [task(SOLVED, goes="hang")])
        child = installation.begin("start")
        wait_until(lambda: _has_answered(installation), limit_s=BEGUN_S)
        if how == "interrupt":
            child.send_signal(signal.SIGINT)
        else:
            (job,) = (path.name for path in installation.root.jobs.iterdir())
            assert installation.run("stop", job)[0] == 0
        said, _ = child.communicate(timeout=120)
    assert child.returncode == EXIT_INTERRUPTED, said
    with open_ledger(installation.root) as ledger:
        (ended,) = ledger.attempts(TaskKey(MAIN_CAMPAIGN, DATASET, SOLVED))
        assert (ended.kind, ended.cause) == (AttemptKind.FREE, Cause.CANCELLED)
        assert ledger.task(TaskKey(MAIN_CAMPAIGN, DATASET, SOLVED)).status is TaskStatus.PENDING
    assert list(installation.root.sandboxes.glob("*")) == []


def _has_answered(installation: Installation) -> bool:
    return any("model_answered" in path.read_text() for path in installation.root.litellm.glob("*/events.jsonl"))
