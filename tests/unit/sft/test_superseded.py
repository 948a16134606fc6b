"""Only training data that a later conversion replaced goes, and none that a data set was made of."""

from datetime import timedelta
from pathlib import Path

import pytest

from tests.unit.sft.twin import job_with, solved
from trajgen_assets.core.errors import ConversionError
from trajgen_assets.core.paths import JobPaths, Root
from trajgen_assets.core.sft.convert import convert_job
from trajgen_assets.core.sft.data_sets.build import Order, build_data_set
from trajgen_assets.core.sft.data_sets.receipt import load_data_set
from trajgen_assets.core.sft.data_sets.selection import Selection
from trajgen_assets.core.sft.receipt import Receipt, load_receipt
from trajgen_assets.core.sft.settings import ConversionSettings
from trajgen_assets.core.sft.superseded import Superseded, superseded_versions
from trajgen_assets.core.sft.versions import EARLIER, Versions

NOW = timedelta()
FIRST, SECOND = ConversionSettings(), ConversionSettings(instance_status="unresolved")


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root(tmp_path)


def converted_twice(root: Root) -> tuple[JobPaths, Receipt, Receipt]:
    """A job whose first version was replaced by one with no rows."""
    job = job_with(root.path, [solved()])
    first = convert_job(job, FIRST)
    return job, first, convert_job(job, SECOND)


def the_only(root: Root) -> Superseded:
    (job,) = (each for each in superseded_versions(root, older_than=NOW) if each.job == "demo-job")
    return job


def data_set_of(root: Root, settings: ConversionSettings) -> None:
    """Build a data set of the job as it is with these settings, which are no longer current afterwards."""
    job = root.job("demo-job")
    convert_job(job, settings)
    build_data_set(Order.of("every-row", [job], Selection(jobs=("demo-job",)), settings), root.job("every-row").sft)


def test_the_version_that_was_replaced_goes_and_the_current_one_stays(root: Root) -> None:
    job, first, second = converted_twice(root)
    found = the_only(root)
    assert [folder.name for folder in found.folders] == [first.signature[:16]]
    assert found.size_bytes > 0
    found.delete(root)
    assert [path.name for path in Versions.of(job.sft).folder.iterdir()] == [second.signature[:16]]
    receipt = load_receipt(job.sft)
    assert receipt is not None
    assert receipt.is_whole
    assert not list(superseded_versions(root, older_than=NOW))


def test_a_version_that_became_the_current_one_meanwhile_stays(root: Root) -> None:
    job, first, _ = converted_twice(root)
    found = the_only(root)
    assert convert_job(job, FIRST).taken_again
    found.delete(root)
    receipt = load_receipt(job.sft)
    assert receipt is not None
    assert (receipt.signature, receipt.is_whole) == (first.signature, True)


def test_a_version_that_was_made_anew_beside_a_damaged_one_still_stands_when_that_is_gone(
    root: Root, caplog: pytest.LogCaptureFixture
) -> None:
    job = job_with(root.path, [solved()])
    convert_job(job, FIRST).im.write_bytes(b"damaged")
    convert_job(job, FIRST)
    the_only(root).delete(root)
    standing = job.sft.readlink()
    assert standing.name.endswith("-2")
    with caplog.at_level("INFO"):
        assert not convert_job(job, FIRST).changed
    assert "trials kept" not in caplog.text  # nothing was converted to find that out
    assert job.sft.readlink() == standing
    assert len(list(Versions.of(job.sft).folder.iterdir())) == 1


def test_a_version_that_a_data_set_was_made_of_stays(root: Root) -> None:
    _, first, _ = converted_twice(root)
    data_set_of(root, FIRST)
    convert_job(root.job("demo-job"), SECOND)
    assert (the_only(root).folders, the_only(root).kept) == ((), {first.signature[:16]: "a data set was made of it"})


def test_it_stays_too_when_its_data_set_has_a_newer_version(root: Root) -> None:
    _, _, second = converted_twice(root)
    data_set_of(root, FIRST)
    data_set_of(root, SECOND)
    receipt = load_data_set(root.job("every-row").sft)
    assert receipt is not None
    assert [part.signature for part in receipt.jobs] == [second.signature]
    assert the_only(root).folders == ()


def test_a_version_of_a_data_set_that_was_built_anew_goes_and_the_current_one_stays(root: Root) -> None:
    job_with(root.path, [solved()])
    data_set_of(root, FIRST)
    data_set_of(root, SECOND)
    found = {each.job: each for each in superseded_versions(root, older_than=NOW)}
    assert len(found["every-row"].folders) == 1
    found["every-row"].delete(root)
    standing = load_data_set(root.job("every-row").sft)
    assert standing is not None
    assert standing.is_whole
    assert "every-row" not in {each.job for each in superseded_versions(root, older_than=NOW)}


def test_a_version_with_files_that_no_conversion_wrote_stays(root: Root) -> None:
    job, _, _ = converted_twice(root)
    earlier = Versions.of(job.sft).folder / EARLIER
    earlier.mkdir()
    (earlier / "im.jsonl").write_text("{}\n")
    (earlier / "notes").write_text("mine")
    assert the_only(root).kept == {EARLIER: "it holds notes, which no conversion wrote"}
    (earlier / "notes").unlink()
    assert earlier in the_only(root).folders


def test_where_a_receipt_cannot_be_read_nothing_is_deleted(root: Root) -> None:
    converted_twice(root)
    (root.sft_data / "every-row").mkdir()
    (root.sft_data / "every-row" / "receipt.json").write_text("{")
    with pytest.raises(ConversionError, match="nothing is deleted"):
        list(superseded_versions(root, older_than=NOW))


def test_jobs_that_ended_lately_are_left_alone_if_that_is_asked_for(root: Root) -> None:
    converted_twice(root)
    assert not list(superseded_versions(root, older_than=timedelta(days=1)))
