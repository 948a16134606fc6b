"""The current result of a conversion is whole at every moment, and what it replaces stays until it is told to go."""

import multiprocessing
import os
import signal
from multiprocessing.process import BaseProcess
from pathlib import Path

import psutil
import pytest

from tests.faults import Points
from tests.unit.sft.twin import TerminusTwin, job_with, lines_of, solved
from trajgen_assets.core.errors import ConversionError
from trajgen_assets.core.faults import FAULTS_ENV
from trajgen_assets.core.paths import JobPaths
from trajgen_assets.core.sft.convert import convert_job
from trajgen_assets.core.sft.receipt import Receipt, load_receipt
from trajgen_assets.core.sft.settings import ConversionSettings
from trajgen_assets.core.sft.versions import EARLIER, Versions

fork = multiprocessing.get_context("forkserver")
fork.set_forkserver_preload(["tests.unit.sft.test_versions"])

DEFAULT = ConversionSettings()
OTHER = ConversionSettings(take_cut=True)
OTHER_STYLE = ConversionSettings(lf_format="llamafactory_lf_v0.1")


def names(job: JobPaths) -> list[str]:
    return sorted(path.name for path in Versions.of(job.sft).folder.iterdir())


def current(job: JobPaths) -> Receipt:
    receipt = load_receipt(job.sft)
    assert receipt is not None
    assert receipt.is_whole
    return receipt


def convert_in_child(job: JobPaths, settings: ConversionSettings, points: Path) -> None:
    os.environ[FAULTS_ENV] = str(points)
    convert_job(job, settings)


def begin(job: JobPaths, settings: ConversionSettings, points: Points) -> BaseProcess:
    child = fork.Process(target=convert_in_child, args=(job, settings, points.folder))
    child.start()
    return child


def test_the_place_of_a_job_is_a_relative_link_to_a_version_named_by_its_signature(tmp_path: Path) -> None:
    job = job_with(tmp_path, [solved()])
    receipt = convert_job(job, DEFAULT)
    name = receipt.signature[:16]
    assert job.sft.readlink() == Path(".versions", "demo-job", name)
    assert names(job) == [name]


def test_other_settings_leave_the_earlier_version_and_coming_back_to_them_takes_it_again(tmp_path: Path) -> None:
    job = job_with(tmp_path, [solved()])
    first = convert_job(job, DEFAULT)
    made_at = first.im.stat().st_mtime_ns
    second = convert_job(job, OTHER)
    assert names(job) == sorted(each.signature[:16] for each in (first, second))
    again = convert_job(job, DEFAULT)
    assert (again.changed, again.taken_again, second.taken_again) == (True, True, False)
    assert (again.signature, again.im.stat().st_mtime_ns) == (first.signature, made_at)
    assert len(names(job)) == 2


def test_a_version_that_is_damaged_is_neither_taken_again_nor_touched(tmp_path: Path) -> None:
    job = job_with(tmp_path, [solved()])
    name = convert_job(job, DEFAULT).signature[:16]
    damaged = job.sft.resolve() / "lf.json"
    damaged.write_bytes(b"damaged")
    convert_job(job, OTHER)
    convert_job(job, DEFAULT)
    assert job.sft.readlink().name == f"{name}-2"
    assert damaged.read_bytes() == b"damaged"
    assert not convert_job(job, DEFAULT).changed
    current(job)


def test_a_plain_folder_of_earlier_releases_becomes_the_first_version_with_all_it_holds(tmp_path: Path) -> None:
    job = job_with(tmp_path, [solved()])
    job.sft.mkdir(parents=True)
    (job.sft / "im.jsonl").write_bytes(b"{}\n")
    (job.sft / "notes of mine").write_text("keep")
    convert_job(job, DEFAULT)
    earlier = Versions.of(job.sft).folder / EARLIER
    assert {path.name: path.read_text() for path in earlier.iterdir()} == {"im.jsonl": "{}\n", "notes of mine": "keep"}
    assert current(job).n_rows == 1


def test_a_plain_folder_whose_move_was_cut_short_is_the_current_result_again(tmp_path: Path) -> None:
    job, points = job_with(tmp_path, [solved()]), Points(tmp_path / "points")
    job.sft.mkdir(parents=True)
    (job.sft / "im.jsonl").write_bytes(b"{}\n")
    points.arm("result_adopted")
    kill(begin(job, DEFAULT, points), points, "result_adopted")
    trials = job.trials.read_bytes()
    versions = Versions.of(job.sft)
    versions.adopt()
    assert (job.sft / "im.jsonl").read_bytes() == b"{}\n"
    job.trials.write_bytes(trials)
    assert convert_job(job, DEFAULT).n_rows == 1


def test_a_folder_of_something_else_in_the_place_of_the_link_is_refused_and_kept(tmp_path: Path) -> None:
    job = job_with(tmp_path, [solved()])
    job.sft.mkdir(parents=True)
    (job.sft / "trials.json").write_text("paid for")
    with pytest.raises(ConversionError, match="holds something else"):
        convert_job(job, DEFAULT)
    assert [path.read_text() for path in job.sft.iterdir()] == ["paid for"]


def test_a_file_in_the_place_of_the_link_is_refused_and_kept(tmp_path: Path) -> None:
    job = job_with(tmp_path, [solved()])
    job.sft.parent.mkdir(parents=True)
    job.sft.write_text("mine")
    with pytest.raises(ConversionError, match="a file is in the place of a folder"):
        convert_job(job, DEFAULT)
    assert job.sft.read_text() == "mine"


def kill(child: BaseProcess, points: Points, point: str) -> None:
    assert points.wait(point) == child.pid
    child.kill()
    child.join(10)
    assert child.exitcode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("point", "settings", "is_current_after"),
    [
        ("before_replace", OTHER, False),
        ("after_replace", OTHER, False),
        ("im_written", OTHER, False),
        ("im_written", OTHER_STYLE, False),
        ("result_whole", OTHER, False),
        ("result_named", OTHER, False),
        ("before_link", OTHER, False),
        ("after_link", OTHER, True),
    ],
)
def test_a_killed_conversion_leaves_a_whole_result_and_the_next_one_completes(
    tmp_path: Path, point: str, settings: ConversionSettings, is_current_after: bool
) -> None:
    job, points = job_with(tmp_path, [solved(), solved(None)]), Points(tmp_path / "points")
    before = convert_job(job, DEFAULT)
    points.arm(point)
    kill(begin(job, settings, points), points, point)
    assert (current(job).signature != before.signature) == is_current_after

    made = convert_job(job, settings)
    assert current(job).signature == made.signature != before.signature
    assert made.changed != is_current_after
    assert names(job) == sorted(each.signature[:16] for each in (before, made))


def convert_with_small_disk(job: JobPaths, settings: ConversionSettings, limit_bytes: int) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    psutil.Process().rlimit(psutil.RLIMIT_FSIZE, (limit_bytes, limit_bytes))
    with pytest.raises(ConversionError, match=r"cannot be written .*File too large.*give the disk room"):
        convert_job(job, settings)


def test_a_full_disk_is_a_clear_error_and_leaves_what_stood(tmp_path: Path) -> None:
    job = job_with(tmp_path, [solved(), TerminusTwin().ask("x" * 100_000, "y", "t")])
    before = convert_job(job, DEFAULT)
    child = fork.Process(target=convert_with_small_disk, args=(job, OTHER, 50_000))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    assert current(job).signature == before.signature
    assert names(job) == [before.signature[:16]]
    assert len(lines_of(convert_job(job, OTHER).im)) == 1
