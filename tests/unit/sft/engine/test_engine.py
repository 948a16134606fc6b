"""The pinned converter in place of the built-in one, run for real from a stand-in of its sources."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.swe_data_process_checkout import COMMIT, environment, trouble
from tests.unit.sft.twin import JobOnDisk, TerminusTwin, lines_of, solved
from trajgen_assets.core.capture.stored import compress
from trajgen_assets.core.errors import ConversionError
from trajgen_assets.core.paths import JobPaths
from trajgen_assets.core.provision.environments import Environment
from trajgen_assets.core.rollout.host_facts import HostFacts, write_host_facts
from trajgen_assets.core.sft.checks.balance import check_im_balance, check_lf_balance
from trajgen_assets.core.sft.convert import ConversionSettings, convert_job, foresee_job, rescore_job
from trajgen_assets.core.sft.engine.converter import Converter
from trajgen_assets.core.sft.receipt import Receipt, SftPaths

Facts = dict[str, Any]


@pytest.fixture
def made(tmp_path: Path) -> Environment:
    return environment(tmp_path)


@pytest.fixture
def settings(tokenizer_folder: Path) -> ConversionSettings:
    return ConversionSettings(
        lf_format="llamafactory_lf_v0.1", leaks="keep", first_turn="keep", tokenizer_name=str(tokenizer_folder)
    )


@pytest.fixture
def convert(made: Environment, settings: ConversionSettings) -> Callable[..., Receipt]:
    def run(job: JobPaths, **changes: Any) -> Receipt:
        return convert_job(job, settings.model_copy(update=changes), converter=Converter(COMMIT, lambda: made))

    return run


def dialogue(name: str, n_turns: int = 3) -> TerminusTwin:
    twin = TerminusTwin()
    for number in range(n_turns):
        twin.ask(f"{name}: question {number}", f"answer {number}")
    return twin


def job_of(folder: Path, *tasks: str, scaffold: str = "openhands_sdk", **changes: Any) -> JobPaths:
    job = JobOnDisk(folder)
    for task in tasks:
        job.add(f"{task}__x", dialogue(task), task_id=task, **changes)
    return job.write(scaffold=scaffold)


def facts_of(receipt: Receipt) -> list[Facts]:
    return [row["meta_info"]["unique_info"] for row in lines_of(receipt.im)]


def reasons(receipt: Receipt) -> dict[str, str | None]:
    return {each.task_id: each.reason for each in receipt.sft_im.per_trial}


MODULES = {
    "claude_code": "claudecode_opencode.convert_cc_to_im",
    "open_code": "claudecode_opencode.convert_oc_to_im",
    "openhands_sdk": "openhands.convert_openhands_sdk_to_im",
}


@pytest.mark.parametrize("scaffold", MODULES)
def test_its_own_module_writes_both_assets_and_the_receipt_says_how(
    tmp_path: Path, convert: Callable[..., Receipt], scaffold: str
) -> None:
    job = job_of(tmp_path, "a-1", "b-2", scaffold=scaffold)
    receipt = convert(job)
    module = f"swe_data_process.{MODULES[scaffold]}"
    assert (receipt.engine.name, receipt.engine.commit, receipt.engine.exit_code) == ("swe_data_process", COMMIT, 0)
    assert " ".join(receipt.engine.command) == (
        f"python -m {module} --job-dir job --im-output im.jsonl --lf-output lf.json --tokenizer-name tokenizer "
        "--instance-status all --exclude-repos-file  --reasoning-check-mode adaptive "
        "--reasoning-content-ratio-threshold 0.2"
    )
    assert [facts["_instance_id"] for facts in facts_of(receipt)] == ["a-1", "b-2"]
    assert [facts["trial"] for facts in facts_of(receipt)] == ["a-1__x", "b-2__x"]
    assert facts_of(receipt)[0]["_score"] == {"composite_score": 0.5, "sub_score": 1.0}  # as the converter scored it
    assert facts_of(receipt)[0]["_instance_metadata"] == {"language": "python", "tags": ["math"]}
    assert [row["_instance_id"] for row in json.loads(receipt.lf.read_bytes())] == ["a-1", "b-2"]
    assert json.loads(SftPaths(receipt.folder).stats.read_bytes())["count"] == 2
    assert sorted(path.name for path in receipt.folder.iterdir()) == sorted(SftPaths(receipt.folder).names)
    for verdict in (check_im_balance(SftPaths(job.sft)), check_lf_balance(SftPaths(job.sft))):
        assert verdict.shown == []


def test_terminus_2_is_read_from_its_own_file_and_without_the_options_about_reasoning(
    tmp_path: Path, convert: Callable[..., Receipt]
) -> None:
    job = job_of(tmp_path, "a-1", "b-2", scaffold="terminus2")
    steps = [{"source": "user", "message": "Do it."}, {"source": "agent", "message": "Done."}]
    (job.trial("a-1__x") / "agent" / "trajectory.json").write_text(json.dumps({"steps": steps}))
    receipt = convert(job)
    assert receipt.engine.command[2] == "swe_data_process.terminus2.convert_terminus2_to_im"
    assert not any(each.startswith("--reasoning") for each in receipt.engine.command)
    assert reasons(receipt) == {"a-1": None, "b-2": "missing_trajectory"}
    assert [message["content"] for message in lines_of(receipt.im)[0]["messages"]] == ["", "Do it.", "Done."]


def test_every_trial_is_accounted_for_by_a_filter_by_what_came_out_or_by_what_did_not(
    tmp_path: Path, convert: Callable[..., Receipt]
) -> None:
    refused = TerminusTwin()
    refused.call([{"role": "user", "content": "a"}, {"role": "user", "content": "b"}], "Two in a row.")
    job = JobOnDisk(tmp_path)
    job.add("good__x", dialogue("good"), task_id="good-1")
    job.add("unsolved__x", dialogue("unsolved"), task_id="unsolved-1", reward=0.0)
    job.add("listed__x", dialogue("listed"), task_id="django__django-11099")
    job.add("left__x", refused, task_id="left-1")
    job.add("gone__x", None, task_id="gone-1")
    job.add("other__x", dialogue("other"), task_id="other-1", trajectory_sha256="0" * 64)
    receipt = convert(job.write(scaffold="claude_code"))
    assert reasons(receipt) == {
        "good-1": None,
        "unsolved-1": "instance_status",
        "django__django-11099": "excluded_repo",
        "left-1": "not_converted",
        "gone-1": "missing_trajectory",
        "other-1": "trajectory_changed",
    }
    balance = receipt.sft_im.trials
    assert balance.n_in == balance.n_kept + sum(balance.rejected.values()) == 6
    assert [line["reason"] for line in lines_of(SftPaths(receipt.folder).rejected)].count("not_converted") == 1


def test_what_comes_after_the_most_that_is_wanted_is_no_fault(tmp_path: Path, convert: Callable[..., Receipt]) -> None:
    receipt = convert(job_of(tmp_path, "a-1", "b-2", "c-3"), max_instances=1)
    assert reasons(receipt) == {"a-1": None, "b-2": "max_instances", "c-3": "max_instances"}


def test_a_compressed_record_goes_in_whole_and_what_only_the_host_had_does_not(
    tmp_path: Path, convert: Callable[..., Receipt]
) -> None:
    job = job_of(tmp_path / "root", "a-1")
    twin = dialogue("a-1").ask("ls", "it is at /srv/people/ada/tasks here")
    job.trajectory("a-1__x").write_bytes(twin.lines())
    job = JobOnDisk(tmp_path / "more").add("a__x", twin, task_id="a-1").write(scaffold="openhands_sdk")
    write_host_facts(job.host, HostFacts(paths={"tasks": ("/srv/people/ada/tasks",)}))
    assert compress(job.trajectory("a__x"))
    receipt = convert(job)
    for text in (receipt.im.read_text(), receipt.lf.read_text()):
        assert "it is at <path:tasks> here" in text
        assert "people/ada" not in text
    assert receipt.sft_im.placeholders == {"<path:tasks>": 1}


def test_equal_inputs_are_not_converted_again_and_another_commit_is_other_data(
    tmp_path: Path, convert: Callable[..., Receipt], made: Environment, settings: ConversionSettings
) -> None:
    job = job_of(tmp_path, "a-1")
    first = convert(job)
    assert not convert(job).changed
    other = convert_job(job, settings, converter=Converter("d" * 40, lambda: made))
    assert (other.changed, other.engine.commit) == (True, "d" * 40)
    built_in = convert_job(job, settings)
    assert (built_in.engine.name, built_in.signature not in {first.signature, other.signature}) == ("builtin", True)


def test_what_would_come_out_is_told_and_nothing_is_written(
    tmp_path: Path, made: Environment, settings: ConversionSettings
) -> None:
    job = job_of(tmp_path, "a-1", "b-2")
    foreseen = foresee_job(job, settings, converter=Converter(COMMIT, lambda: made))
    assert (foreseen.trials.n_kept, foreseen.rows.n_kept, foreseen.changed) == (2, 2, True)
    assert not job.sft.exists()


def test_a_job_of_which_nothing_is_chosen_is_empty_data(tmp_path: Path, convert: Callable[..., Receipt]) -> None:
    receipt = convert(job_of(tmp_path, "a-1", reward=0.0))
    assert (receipt.n_rows, receipt.lf.read_bytes()) == (0, b"[]\n")


TROUBLES = {
    "exit": r"swe_data_process failed .*it ended with code 1: the tokenizer has no template",
    "killed": r"swe_data_process failed .*it was ended by signal 9",
    "half_im": r"is not taken \(im\.jsonl, row 2\): the whole: Invalid JSON",
    "half_lf": r"is not taken \(lf\.json\)",
    "no_im": r"is not taken \(im\.jsonl, row 1\): messages: Field required",
    "no_lf": r"is not taken \(lf\.json, row 1\): LLaMA-Factory would not load it: 5 turns, not an even number",
    "fewer": r"is not taken \(row 2\): im\.jsonl and lf\.json have different numbers of rows",
    "foreign": r"is not taken \(im\.jsonl\): a row is of 'somebody__else-1', which it was not given",
    "no_stats": r"is not taken \(lf\.stats\.json\)",
}


@pytest.mark.parametrize("word", TROUBLES)
def test_what_fails_breaks_off_or_is_no_row_is_refused_and_what_stood_stands(
    tmp_path: Path, convert: Callable[..., Receipt], made: Environment, word: str
) -> None:
    job = job_of(tmp_path, "a-1", "b-2")
    before = convert(job)
    stood = {path.name: path.read_bytes() for path in job.sft.iterdir()}
    trouble(made, word)
    with pytest.raises(ConversionError, match=TROUBLES[word]):
        convert(job, instance_status="all")
    assert {path.name: path.read_bytes() for path in job.sft.iterdir()} == stood
    assert not convert(job).changed
    assert before.n_rows == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"lf_format": "sharegpt"}, "does not write sharegpt.*set runtime_info.output.sft_data_dir.format"),
        ({"tokenizer_name": None}, "a tokenizer's .*template, and none is named"),
        ({"leaks": "reject"}, "has nothing for leaks .*set leaks to keep"),
        ({"mask_error_turns": True, "cutoff_len": 10}, "mask_error_turns, cutoff_len .*set mask_error_turns to false"),
    ],
)
def test_a_choice_that_it_has_no_option_for_is_refused_and_not_passed_over(
    tmp_path: Path, convert: Callable[..., Receipt], change: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConversionError, match=said):
        convert(job_of(tmp_path, "a-1"), **change)


def test_a_scaffold_that_it_does_not_read_is_refused(tmp_path: Path, convert: Callable[..., Receipt]) -> None:
    with pytest.raises(ConversionError, match="does not read trajectories of mini_swe_agent"):
        convert(job_of(tmp_path, "a-1", scaffold="mini_swe_agent"))


def test_two_trials_of_one_task_are_not_guessed_apart(tmp_path: Path, convert: Callable[..., Receipt]) -> None:
    job = JobOnDisk(tmp_path).add("a__x", dialogue("a")).add("a__y", dialogue("b"))
    with pytest.raises(ConversionError, match="two trials of one task"):
        convert(job.write(scaffold="claude_code"))


def test_its_scores_are_not_replaced_by_ours(
    tmp_path: Path, convert: Callable[..., Receipt], settings: ConversionSettings
) -> None:
    job = job_of(tmp_path, "a-1")
    convert(job)
    with pytest.raises(ConversionError, match="have the scores of swe_data_process"):
        rescore_job(job, settings)


def test_the_built_in_converter_says_that_it_was_it(tmp_path: Path) -> None:
    receipt = convert_job(JobOnDisk(tmp_path).add("a__x", solved()).write(), ConversionSettings())
    assert receipt.engine.model_dump() == {"name": "builtin", "commit": None, "command": (), "exit_code": None}
