"""`trajgen convert` as a person uses it: on some jobs or many, with other settings, and when one of them is broken."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from tests.configuration import config_text
from tests.tiny_tokenizer import trained
from tests.unit.ledger.twins import DATASET, SetClock, batch, graded, listed, register, settle
from tests.unit.sft.twin import JobOnDisk, lines_of, solved
from trajgen_assets.cli.main import app
from trajgen_assets.core.capture.stored import compressed_name
from trajgen_assets.core.errors import ConfigError, RefusedError, UnknownNameError
from trajgen_assets.core.exit_codes import EXIT_FAILED, EXIT_OK
from trajgen_assets.core.keys import SMOKE_CAMPAIGN
from trajgen_assets.core.ledger import create_ledger, open_ledger
from trajgen_assets.core.ledger.models import AskedBy, JobState
from trajgen_assets.core.paths import Root
from trajgen_assets.core.rollout.trials import load_trials, write_trials
from trajgen_assets.core.sft.receipt import load_receipt
from trajgen_assets.core.sft.versions import Versions

JOBS = ("job-1", "job-2", "job-3")


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    """Three jobs, a day apart, each of one solved and one unsolved task; the last with the broken record of one."""
    made, clock = Root(tmp_path / "root"), SetClock()
    create_ledger(made)
    tasks = [f"{job}-{which}" for job in JOBS for which in ("solved", "unsolved")]
    with open_ledger(made, now=clock) as ledger:
        register(ledger, *(listed(task_id, "d1") for task_id in tasks))
        for job in JOBS:
            on_disk = JobOnDisk(made.path, job)
            ids = [f"{job}-solved", f"{job}-unsolved"]
            ledger.assign(job, batch(task_ids=ids), asked_by=AskedBy.START)
            lease = ledger.claim(job, "run", ttl_s=60)
            for task_id, reward in zip(ids, (1.0, 0.0), strict=True):
                lines = b"{\n" if (job, reward) == ("job-3", 0.0) else solved(f"Look at {task_id}.")
                on_disk.add(f"{task_id}__1", lines, task_id=task_id, task_key=f"{DATASET}/{task_id}", reward=reward)
                settle(ledger, lease, task_id, graded(f"{task_id}__1"))
            ledger.release(lease, JobState.FINISHED)
            on_disk.write()
            clock.pass_s(timedelta(days=1).total_seconds())
    (made.path / "config.yaml").write_text(config_text(tmp_path / DATASET, harbor_job={"environment": "local"}))
    return made


def convert(root: Root, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["--root", str(root.path), "convert", *arguments])


def told(result: Result) -> dict[str, dict[str, Any]]:
    """What --json says of each job."""
    return {each["job"]: each for each in map(json.loads, result.stdout.splitlines())}


def current(root: Root, job: str) -> dict[str, Any]:
    receipt = load_receipt(root.job(job).sft)
    assert receipt is not None
    return receipt.settings


def test_each_job_says_what_went_in_what_was_kept_and_why_the_rest_was_not(root: Root) -> None:
    result = convert(root, "job-1", "--job", "job-2")
    assert result.exit_code == EXIT_OK
    assert result.stdout.splitlines()[:3] == [
        "job-1: written",
        "  trials  2 in, 1 kept; rejected: 1 instance_status",
        "  rows    1 in, 1 kept",
    ]
    assert "  score   mean 0." in result.stdout
    assert "  tokens  310, from usage" in result.stdout
    assert f"  path    {root.sft_data}/job-1" in result.stdout
    assert result.stdout.splitlines()[-1] == "2 jobs: 2 written; 2 rows"
    assert "job-1: unchanged" in convert(root, "job-1").stdout


def test_a_dry_run_tells_the_same_and_writes_nothing(root: Root) -> None:
    foreseen = told(convert(root, "--all", "--dry-run", "--json"))
    assert not root.sft_data.exists()
    assert {each["state"] for each in foreseen.values()} == {"would be written"}
    written = told(convert(root, "--all", "--json"))
    for job in JOBS:
        assert foreseen[job]["trials"] == written[job]["trials"]
        assert foreseen[job]["rows"] == written[job]["rows"]
    assert {each["state"] for each in told(convert(root, "--all", "--dry-run", "--json")).values()} == {"unchanged"}


def test_all_and_since_name_the_jobs_that_were_left_out_and_why(root: Root) -> None:
    with open_ledger(root) as ledger:
        register(ledger, "e", campaign=SMOKE_CAMPAIGN)
        ledger.assign("tried", batch(campaign=SMOKE_CAMPAIGN), asked_by=AskedBy.START)
    result = convert(root, "--all", "--json")
    assert list(told(result)) == list(JOBS)
    assert "left out: tried: it is assigned" in result.stderr
    since = told(convert(root, "--since", "job-2", "--json"))
    assert list(since) == ["job-2", "job-3"]
    with open_ledger(root) as ledger:
        day = ledger.job("job-3").assigned_at.date().isoformat()
    assert list(told(convert(root, "--since", day, "--json"))) == ["job-3"]
    assert list(told(convert(root, "latest", "--json"))) == ["job-3"]


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ([], ConfigError, "say which"),
        (["job-1", "--all"], ConfigError, "say which"),
        (["--since", "yesterday"], ConfigError, "'yesterday' is no job and no time"),
        (["job-1", "nowhere"], UnknownNameError, "there is no job of that name"),
        (["job-1", "--scaffold", "aider"], ConfigError, "aider"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_any_job_is_converted(
    root: Root, arguments: list[str], error: type[Exception], words: str
) -> None:
    result = convert(root, *arguments)
    assert isinstance(result.exception, error)
    assert words in str(result.exception)
    assert not root.sft_data.exists()


def test_a_job_that_cannot_be_converted_does_not_stop_the_others_and_the_exit_code_tells(root: Root) -> None:
    root.job("job-2").host.write_text("{")
    result = convert(root, *JOBS)
    assert result.exit_code == EXIT_FAILED
    assert "job-2: failed: " in result.stderr
    assert result.stdout.splitlines()[-1] == "3 jobs: 2 written, 1 failed; 2 rows"
    assert not root.job("job-2").sft.exists()


@pytest.mark.parametrize("which", [["--all"], JOBS])
def test_a_job_whose_trials_cannot_be_read_does_not_stop_the_others(root: Root, which: list[str]) -> None:
    root.job("job-1").trials.write_text("{")
    result = convert(root, *which, "--json")
    assert result.exit_code == EXIT_FAILED
    assert [each["state"] for each in told(result).values()] == ["failed", "written", "written"]
    assert "trials.json cannot be read" in told(result)["job-1"]["error"]


def test_a_wrong_scaffold_is_refused_with_the_right_one(root: Root) -> None:
    result = convert(root, "job-1", "--scaffold", "claude_code")
    assert result.exit_code == EXIT_FAILED
    assert "the job was rolled out with terminus2, not with claude_code" in result.stderr
    assert convert(root, "job-1", "--scaffold", "terminus2").exit_code == EXIT_OK
    assert convert(root, "job-1", "--scaffold", "terminus-2").exit_code == EXIT_OK


def test_options_go_before_the_configuration_and_are_in_the_receipt(root: Root, tmp_path: Path) -> None:
    mine = tmp_path / "mine.txt"
    mine.write_text("an-owner/a-repo\n")
    options = [
        "--instance-status",
        "all",
        "--max-instances",
        "1",
        "--exclude-repos-file",
        str(mine),
        "--skip-unchanged",
    ]
    reasoning = ["--reasoning-check-mode", "strict", "--reasoning-content-ratio-threshold", "0.5"]
    result = convert(root, "job-2", *options, *reasoning, "--format", "llamafactory_lf_v0.1", "--json")
    assert told(result)["job-2"]["trials"] == {"n_in": 2, "n_kept": 0, "rejected": {"no_row_kept": 2}}
    chosen = {
        "instance_status": "all",
        "max_instances": 1,
        "excluded_repos": ["an-owner/a-repo"],
        "reasoning_check_mode": "strict",
        "reasoning_content_ratio_threshold": 0.5,
    }
    assert chosen.items() <= current(root, "job-2").items()
    assert convert(root, "job-2", "--exclude-repos-file", "").exit_code == EXIT_OK
    assert current(root, "job-2")["excluded_repos"] == []
    assert "django/django" in (convert(root, "job-2"), current(root, "job-2"))[1]["excluded_repos"]


def test_a_tokenizer_is_found_from_where_the_command_is_given(
    root: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    trained().save("tokenizer.json")
    result = convert(root, "job-1", "--tokenizer-name", "tokenizer.json", "--cutoff-len", "5", "--json")
    assert told(result)["job-1"]["rows"]["rejected"] == {"over_length": 1}
    assert current(root, "job-1")["cutoff_len"] == 5
    assert current(root, "job-1")["tokenizer"] is not None
    assert "owner/nothing" in convert(root, "job-1", "--tokenizer-name", "owner/nothing").stderr


def test_data_for_another_folder_leaves_the_job_s_own_as_it_is(root: Root, tmp_path: Path) -> None:
    convert(root, "job-1")
    own = root.job("job-1").sft.readlink()
    result = convert(root, "job-1", "--out-dir", str(tmp_path / "elsewhere"), "--instance-status", "unresolved")
    assert result.exit_code == EXIT_OK
    assert root.job("job-1").sft.readlink() == own
    (row,) = lines_of(tmp_path / "elsewhere" / "job-1" / "im.jsonl")
    assert row["meta_info"]["unique_info"]["_instance_id"] == "job-1-unsolved"
    assert Versions.of(tmp_path / "elsewhere" / "job-1").folder.is_dir()
    create_ledger(Root(tmp_path / "other"))
    refused = convert(root, "job-1", "--out-dir", str(tmp_path / "other" / "sft_data")).exception
    assert isinstance(refused, ConfigError)
    assert "the folder belongs to another root" in str(refused)
    (tmp_path / "file").touch()
    assert "a file is in the place of a folder" in str(
        convert(root, "job-1", "--out-dir", str(tmp_path / "file")).exception
    )


def test_a_trial_that_fails_for_no_known_reason_is_told_by_the_exit_code(root: Root) -> None:
    job = root.job("job-1")
    trials = load_trials(job.trials)
    unpinned = [trial.model_copy(update={"trajectory_sha256": None}) for trial in trials.trials]
    write_trials(job.trials, trials.model_copy(update={"trials": tuple(unpinned)}))
    trajectory = job.dir / str(unpinned[0].trajectory)
    trajectory.rename(compressed_name(trajectory))  # which it is not
    result = convert(root, "job-1")
    assert result.exit_code == EXIT_FAILED
    assert "  failed  1 trial is left out for an error that should not be" in result.stdout


def test_data_are_not_written_over_jobs_or_files(root: Root, tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    for folder, why in ((root.jobs, "where jobs lie"), (tmp_path / "notes", "a file is in the place")):
        refused = convert(root, "job-1", "--out-dir", str(folder)).exception
        assert isinstance(refused, ConfigError)
        assert why in str(refused)
    assert root.job("job-1").trials.is_file()


def test_a_smoke_test_is_refused_by_name(root: Root) -> None:
    JobOnDisk(root.path, "tried").write(campaign=SMOKE_CAMPAIGN)
    refused = convert(root, "tried").exception
    assert isinstance(refused, RefusedError)
    assert "a smoke test becomes no training data" in str(refused)
