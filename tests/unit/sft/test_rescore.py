"""Rows scored again: the same by the same rules, and nothing but scores changes by other ones."""

import json
from pathlib import Path

import pytest

from tests.unit.sft.twin import JobOnDisk, job_with, lines_of, solved
from trajgen_assets.core.errors import ConversionError
from trajgen_assets.core.paths import JobPaths
from trajgen_assets.core.sft.convert import convert_job, rescore_job
from trajgen_assets.core.sft.receipt import digests, load_receipt, write_receipt
from trajgen_assets.core.sft.settings import ConversionSettings

DEFAULT = ConversionSettings()


def everything_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def scored_by_older_rules(job: JobPaths) -> dict[str, bytes]:
    """Convert a job, then make its rows what another version of the rules had left. Returns what lay there first."""
    receipt = convert_job(job, DEFAULT)
    fresh = everything_in(job.sft)
    rows = lines_of(receipt.im)
    for row in rows:
        row["meta_info"]["unique_info"]["_score"] = {"composite_score": 0.0}
    receipt.im.write_bytes(b"".join(json.dumps(row, separators=(",", ":")).encode() + b"\n" for row in rows))
    files = receipt.sft_im.files | digests(receipt.im)
    im = receipt.sft_im.model_copy(update={"score_version": "0", "files": files})
    write_receipt(receipt.model_copy(update={"sft_im": im}))
    return fresh


def test_rows_of_older_rules_become_what_a_conversion_would_write_without_any_trajectory(tmp_path: Path) -> None:
    job = job_with(tmp_path, [solved(), solved(None)])
    fresh = scored_by_older_rules(job)
    for name in ("trial__0", "trial__1"):
        job.trajectory(name).unlink()
    result = rescore_job(job, DEFAULT)
    assert (result.n_changed, result.mean, result.receipt.changed) == (2, 0.662, True)
    assert everything_in(job.sft) == fresh
    receipt = load_receipt(job.sft)
    assert receipt is not None
    assert receipt.is_whole


def test_scoring_again_by_the_same_rules_writes_nothing(tmp_path: Path) -> None:
    job = job_with(tmp_path, [solved()])
    convert_job(job, DEFAULT)
    written = {path.name: path.stat().st_ino for path in job.sft.iterdir()}
    result = rescore_job(job, DEFAULT)
    assert (result.n_changed, result.receipt.changed) == (0, False)
    assert {path.name: path.stat().st_ino for path in job.sft.iterdir()} == written


def test_a_dry_run_tells_and_writes_nothing(tmp_path: Path) -> None:
    job = job_with(tmp_path, [solved()])
    scored_by_older_rules(job)
    before = everything_in(job.sft)
    assert rescore_job(job, DEFAULT, dry_run=True).n_changed == 1
    assert everything_in(job.sft) == before


def test_a_conversion_of_unchanged_inputs_only_scores_again(tmp_path: Path) -> None:
    job = job_with(tmp_path, [solved()])
    fresh = scored_by_older_rules(job)
    rejected = (job.sft / "rejected.jsonl").stat().st_ino
    assert convert_job(job, DEFAULT).changed
    assert (job.sft / "rejected.jsonl").stat().st_ino == rejected  # taken over, not converted
    assert everything_in(job.sft) == fresh
    assert not convert_job(job, DEFAULT).changed


def test_lf_follows_in_the_style_that_it_has(tmp_path: Path) -> None:
    job = job_with(tmp_path, [solved()])
    convert_job(job, ConversionSettings(lf_format="llamafactory_lf_v0.1"))
    before = everything_in(job.sft)
    receipt = load_receipt(job.sft)
    assert receipt is not None
    write_receipt(receipt.model_copy(update={"sft_im": receipt.sft_im.model_copy(update={"score_version": "0"})}))
    assert rescore_job(job, DEFAULT).receipt.changed
    assert everything_in(job.sft) == before


def test_rows_that_are_missing_or_not_the_receipts_are_refused(tmp_path: Path) -> None:
    job = job_with(tmp_path, [solved()])
    with pytest.raises(ConversionError, match=r"no im\.jsonl"):
        rescore_job(job, DEFAULT)
    convert_job(job, DEFAULT)
    (job.sft / "im.jsonl").write_bytes(b"{}\n")
    with pytest.raises(ConversionError, match=r"no im\.jsonl"):
        rescore_job(job, DEFAULT)


def test_a_rejected_row_has_no_score(tmp_path: Path) -> None:
    job = JobOnDisk(tmp_path).add("a__x", solved().hand_off()).write()
    convert_job(job, DEFAULT)
    rows = [each["row"] for each in lines_of(job.sft / "rejected.jsonl") if each["level"] == "row"]
    assert rows
    assert all(row["meta_info"]["unique_info"]["_score"] is None for row in rows)
