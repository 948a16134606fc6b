"""The stand-in behaves as the real harness was seen to: what other tests rest on."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.openhands_checkout.making import StandIn, msb_row, row, write_rows
from trajgen_assets.core.scripted.faults import Fault
from trajgen_assets.core.scripted.running import ScriptedModel

Row = dict[str, Any]
FOLDER = Path("tasks.jsonl-train", "CodeActAgent", "scripted_maxiter_8")


class Run:
    """One working folder with its rows, in which run_infer is started as often as one likes."""

    def __init__(self, home: Path, stand_in: StandIn, model: ScriptedModel) -> None:
        self.home, self.python = home / "checkout", stand_in.python
        subprocess.run(["git", "clone", "--quiet", stand_in.url, self.home], check=True)
        self.base_url, self.limit = model.base_url, 8

    @property
    def out(self) -> Path:
        return self.home / "out" / FOLDER.parent / f"scripted_maxiter_{self.limit}"

    def configure(self, **keys: Any) -> None:
        section = {"model": "openai/scripted", "base_url": self.base_url, "api_key": "k", "native_tool_calling": True}
        lines = [f"{name} = {json.dumps(value)}" for name, value in (section | keys).items()]
        (self.home / "config.toml").write_text("\n".join(["[llm.trajgen]", *lines]))

    def start(self, rows: list[Row], *flags: str, **env: str) -> subprocess.CompletedProcess[str]:
        write_rows(self.home / "tasks.jsonl", rows)
        if not (self.home / "config.toml").exists():
            self.configure()
        told = {"--agent-cls": "CodeActAgent", "--llm-config": "llm.trajgen", "--max-iterations": f"{self.limit}"}
        told |= {"--dataset": "tasks.jsonl", "--split": "train", "--eval-output-dir": "out", "--eval-num-workers": "1"}
        argv = [str(part) for pair in told.items() for part in pair]
        return self.module("evaluation.benchmarks.multi_swe_bench.run_infer", *argv, *flags, **env)

    def module(self, name: str, *argv: str, **env: str) -> subprocess.CompletedProcess[str]:
        environ = {"PATH": "/usr/bin:/bin", "LANGUAGE": "python", **env}
        command = [str(self.python), "-m", name, *argv]
        return subprocess.run(
            command, cwd=self.home, env=environ, capture_output=True, text=True, timeout=60, check=False
        )

    def rows(self) -> list[Row]:
        return [json.loads(line) for line in (self.out / "output.jsonl").read_text().splitlines()]


@pytest.fixture
def run(tmp_path: Path, stand_in: StandIn, model: ScriptedModel) -> Run:
    return Run(tmp_path, stand_in, model)


def test_a_row_is_worked_on_by_real_calls_and_leaves_what_the_harness_leaves(run: Run) -> None:
    ended = run.start([row()])
    assert ended.returncode == 0, ended.stderr
    assert f"### OUTPUT FILE: {Path('out') / FOLDER / 'output.jsonl'} ###" in ended.stdout
    (made,) = run.rows()
    assert made["test_result"]["git_patch"].endswith("+hello")
    assert (made["error"], made["history"][-1]["action"]) == (None, "finish")
    assert json.loads((run.out / "metadata.json").read_text())["llm_config"]["api_key"] == "**********"
    records = sorted((run.out / "llm_completions" / "acme__greeter-1").iterdir())
    assert len(records) == len(made["metrics"]["token_usages"]) == 3
    assert "tools" in json.loads(records[-1].read_text())["kwargs"]
    assert not (run.out / "infer_logs").exists()


def test_calls_in_text_leave_both_forms(run: Run) -> None:
    run.configure(native_tool_calling=False)
    run.start([row()])
    (made,) = run.rows()
    assert made["test_result"]["git_patch"].endswith("+hello")
    last = json.loads(sorted((run.out / "llm_completions" / "acme__greeter-1").iterdir())[-1].read_text())
    assert "tools" not in last["kwargs"]
    assert last["fncall_response"]["choices"][0]["message"]["tool_calls"][0]["id"] == "toolu_03"
    assert last["messages"][-1]["content"].startswith("EXECUTION RESULT of [execute_bash]:")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--split", "test"), "KeyError: 'test'"),
        (("--llm-config", "llm.other"), "AttributeError: 'NoneType' object has no attribute 'log_completions'"),
    ],
)
def test_what_is_not_there_ends_it(run: Run, flags: tuple[str, ...], said: str) -> None:
    ended = run.start([row()], *flags)
    assert (ended.returncode, said in ended.stderr) == (1, True)


def test_a_folder_outside_git_ends_it(run: Run) -> None:
    (run.home / ".git").rename(run.home / "moved")
    assert "rev-parse" in run.start([row()], GIT_CEILING_DIRECTORIES=str(run.home)).stderr


def test_the_limit_of_iterations_is_an_error_with_a_patch(run: Run) -> None:
    run.limit = 2
    run.start([row()])
    (made,) = run.rows()
    assert made["error"].startswith(
        "RuntimeError: Agent reached maximum iteration in headless mode. Current iteration: 2"
    )
    assert made["test_result"]["git_patch"].endswith("+hello")


def test_a_model_that_does_not_answer_leaves_four_events(run: Run, model: ScriptedModel) -> None:
    model.set_fault(Fault.CONTEXT_LENGTH, count=1)
    ended = run.start([row()])
    (made,) = run.rows()
    assert (ended.returncode, len(made["history"]), made["test_result"]) == (0, 4, {"git_patch": ""})
    assert "unexpected error" in made["error"]


def test_a_row_that_fails_at_each_try_ends_all_unless_it_is_to_be_passed_over(run: Run) -> None:
    rows = [row(goes="crash"), row("acme__greeter-2")]
    assert "Maximum retries (3) reached" in run.start(rows).stderr
    assert run.rows() == []
    ended = run.start(rows, EVAL_SKIP_MAXIMUM_RETRIES_EXCEEDED="true")
    assert ended.returncode == 0
    assert run.rows()[0]["test_result"] == {}
    assert (run.out / "maximum_retries_exceeded.jsonl").exists()


def test_records_of_all_tries_lie_in_one_folder(run: Run) -> None:
    run.start([row(goes="crash_once")])
    assert len(list((run.out / "llm_completions" / "acme__greeter-1").iterdir())) == 4


def test_a_torn_line_ends_the_next_start(run: Run) -> None:
    assert run.start([row(goes="torn")]).returncode == -9
    assert "json.decoder.JSONDecodeError" in run.start([row()]).stderr


def test_an_error_row_counts_as_finished_and_so_does_one_that_is_skipped(run: Run) -> None:
    run.limit = 1
    run.start([row()])
    run.start([row()])
    assert len(run.rows()) == 1
    assert run.start([row("a__b-2")], SKIP_IDS="a__b-2").returncode == 0
    assert len(run.rows()) == 1


def test_ids_may_be_empty_or_come_twice(run: Run) -> None:
    run.start([row(goes="empty_id"), row("acme__greeter-2", goes="twice")])
    assert [each["instance_id"] for each in run.rows()] == ["", "acme__greeter-2", "acme__greeter-2"]


def test_several_workers_have_logs_and_a_limit_of_time(run: Run) -> None:
    ended = run.start([row(goes="hang")], "--eval-num-workers", "2", STAND_IN_TIMEOUT_S="1")
    assert ended.returncode == 0
    (made,) = run.rows()
    assert (made["test_result"], made["error"]) == ({}, "Timeout after 1 seconds")
    assert (run.out / "infer_logs" / "instance_acme__greeter-1.log").exists()


def test_a_language_that_is_not_known_gives_no_instruction(run: Run) -> None:
    run.limit = 1
    run.start([row()], LANGUAGE="Python")
    assert run.rows()[0]["instruction"] is None


def test_the_evaluators_grade_by_the_patch(run: Run) -> None:
    rows = [row(), row("acme__greeter-2", graded="no_tests")]
    run.start(rows)
    output = run.out / "output.jsonl"
    scripts = "evaluation.benchmarks.multi_swe_bench.scripts"
    run.module(f"{scripts}.simple_eval", "--input-file", str(output), "--dataset", "tasks.jsonl")
    assert json.loads((run.out / "eval_summary.json").read_text())["resolved"] == 1
    told = ("--trajectory-file", str(output), "--dataset-file", "tasks.jsonl", "--docker-image", "x")
    ended = run.module(
        f"{scripts}.eval_pilot2_standardized", *told, "--output-file", "graded.jsonl", "--output-dir", "ev"
    )
    assert ended.returncode == 0, ended.stderr
    graded = json.loads((run.home / "graded.jsonl").read_text())
    assert (graded["resolved"], graded["pilot2_eval_details"]["tests_passed"]) == (True, 2)
    nested = json.loads((run.home / "ev" / "eval_outputs" / "acme__greeter-1" / "report.json").read_text())
    assert nested["acme__greeter-1"]["resolved"] is True


def test_the_multi_swe_bench_evaluator_reports_what_is_in_its_data_set(run: Run) -> None:
    rows = [row(), row("acme__greeter-2", graded="incomplete"), row("acme__greeter-3", graded="invalid")]
    patches = [{**msb_row(each), "fix_patch": "+hello"} for each in (*rows, row("acme__greeter-4"))]
    write_rows(run.home / "patches.jsonl", patches)
    write_rows(run.home / "msb.jsonl", map(msb_row, rows))
    config = {
        "patch_files": ["patches.jsonl"],
        "dataset_files": ["msb.jsonl"],
        "workdir": "work",
        "output_dir": "report",
    }
    (run.home / "config.json").write_text(json.dumps(config))
    ended = run.module("multi_swe_bench.harness.run_evaluation", "--config", "config.json")
    assert ended.returncode == 0, ended.stderr
    report = json.loads((run.home / "report" / "final_report.json").read_text())
    assert report["resolved_ids"] == ["acme/greeter:pr-1"]
    assert report["unresolved_ids"] == ["acme/greeter:pr-3"]
    assert report["error_ids"] == report["incomplete_ids"] == ["acme/greeter:pr-2"]
