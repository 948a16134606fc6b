"""What events of the catalogue show, of a real conversion."""

import json
from pathlib import Path

from tests.unit.sft.twin import JobOnDisk, lines_of, solved
from trajgen_assets.assets import columns
from trajgen_assets.assets.datasets import im_metadata, lf_metadata, result_metadata
from trajgen_assets.core.report.job_result import job_result_of
from trajgen_assets.core.rollout.trials import load_trials
from trajgen_assets.core.sft.convert import ConversionSettings, convert_job
from trajgen_assets.core.sft.lf import lf_row
from trajgen_assets.core.sft.receipt import SftPaths


def job_at(folder: Path) -> JobOnDisk:
    job = JobOnDisk(folder)
    job.add("a__1", solved("Look at a."), duration_s=10.0).add("b__1", solved("Look at b."), duration_s=40.0)
    return job.add("c__1", None, accepted=False, status="failed", cause="sandbox", reward=None)


def test_a_job_shows_how_its_trials_ended_with_bars_and_how_long_they_took(tmp_path: Path) -> None:
    files = job_at(tmp_path).write()
    trials = load_trials(files.trials)
    shown = result_metadata(job_result_of(files.dir, trials), trials.trials)
    text = str(shown["summary"].value)
    assert "| resolved | 2 | ████████████████████ |" in text
    assert "| sandbox | 1 | ██████████ |" in text
    assert text.endswith("`▃█` up to 40")


def test_training_data_shows_what_was_kept_why_the_rest_was_not_and_its_tokens(tmp_path: Path) -> None:
    files = job_at(tmp_path).write()
    receipt = convert_job(files, ConversionSettings(instance_status="all"))
    im, lf = im_metadata(receipt), lf_metadata(receipt)
    assert "| trials in: 3 | | |" in str(im["summary"].value)
    for reason in receipt.rejected["trials"]:
        assert f"| {reason} | 1 |" in str(im["summary"].value)
    stats = json.loads(SftPaths(files.sft).stats.read_bytes())
    assert (lf["tokens"], lf["mean_turns"]) == (stats["total_tokens"], stats["n_turns"]["mean"])
    assert Path(lf["dataset_info"].value).is_file()


def test_the_columns_of_training_data_are_those_of_its_rows(tmp_path: Path) -> None:
    files = job_at(tmp_path).write()
    convert_job(files, ConversionSettings(instance_status="all"))
    rows = lines_of(files.sft / "im.jsonl")
    assert rows
    for row in rows:
        assert list(row) == [column.name for column in columns.IM]
        assert list(lf_row(row, "sharegpt")) == [column.name for column in columns.LF]


def test_the_columns_of_a_record_are_those_that_the_proxy_writes(tmp_path: Path) -> None:
    files = job_at(tmp_path).write()
    names = [column.name for column in columns.RECORD]
    for record in lines_of(files.trajectory("a__1")):
        assert set(record) <= set(names)
        assert set(names) - set(record) <= {"upstream", "failure"}
