"""Trials that were paid for go only on purpose, and no task is rolled out again because of it."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults import Points
from tests.integration.finished_job import JOB, job_that_is_over
from tests.trees import found_in
from tests.unit.clean.conftest import Place
from tests.unit.ledger.twins import batch, key
from trajgen_assets.core.dashboard.site import build_site
from trajgen_assets.core.errors import BusyError, ConfigError, ConversionError, RefusedError
from trajgen_assets.core.exit_codes import EXIT_OK
from trajgen_assets.core.ledger import create_ledger, open_ledger
from trajgen_assets.core.ledger.models import TaskStatus
from trajgen_assets.core.ledger.removals import REMOVED
from trajgen_assets.core.paths import PROJECT, Root
from trajgen_assets.core.report.differences import Kind, differences_on_disk
from trajgen_assets.core.report.found_jobs import find_jobs
from trajgen_assets.core.rollout.slots import job_slot
from trajgen_assets.core.sft.convert import convert_job
from trajgen_assets.core.sft.data_sets.build import Order, build_data_set
from trajgen_assets.core.sft.data_sets.selection import Selection
from trajgen_assets.core.sft.settings import ConversionSettings

EVERY = ConversionSettings(instance_status="all")


def trials_of(root: Root) -> list[str]:
    return sorted(each.name for each in root.job(JOB).dir.iterdir() if each.is_dir())


def kinds(root: Root) -> list[Kind]:
    with open_ledger(root) as ledger:
        return [each.kind for each in differences_on_disk(root, ledger, lambda task, _: key(task))]


def test_its_tasks_stay_done_are_never_assigned_again_and_say_so(place: Place) -> None:
    told = place.run("clean", "--jobs", JOB, "--yes")
    assert told.exit_code == EXIT_OK, told.output
    assert trials_of(place.root) == []
    with open_ledger(place.root) as ledger:
        (task,) = (row for row in ledger.rows() if row.task_id == "a")
        assert (task.status, task.note) == (TaskStatus.DONE, REMOVED)
        assert [each.accepted for each in ledger.attempts(task.key)] == [True]
        assert ledger.assign("again", batch(limit=10)) is None
        assert ledger.jobs_needing_downstream() == []
        ledger.check_balance()
    assert kinds(place.root) == []
    assert REMOVED in place.root.ledger_view.read_text()


def test_count_bytes_and_cost_are_named_and_a_dry_run_touches_nothing(place: Place) -> None:
    before = place.bytes_of("jobs")
    facts = json.loads(place.run("clean", "--jobs", "--dry-run", "--json").stdout)
    (job,) = facts["jobs"]
    assert (job["job"], job["n_accepted"]) == (JOB, 2)
    assert job["n_files"] > 0
    assert job["size_bytes"] > 0
    assert "cost_usd" in job
    assert place.bytes_of("jobs") == before


def test_what_is_not_converted_is_refused_without_force(place: Place) -> None:
    assert place.run("clean", "--yes").exit_code == EXIT_OK
    refused = place.run("clean", "--jobs", JOB, "--yes")
    assert isinstance(refused.exception, RefusedError)
    assert "no training data" in str(refused.exception)
    assert len(trials_of(place.root)) == 2
    assert place.run("clean", "--jobs", JOB, "--yes", "--force").exit_code == EXIT_OK
    assert trials_of(place.root) == []


def test_what_is_in_a_data_set_is_refused_without_force(place: Place) -> None:
    order = Order.of("both", [place.job], Selection(jobs=(JOB,)), EVERY)
    build_data_set(order, place.root.job("both").sft)
    assert "data set both" in str(place.run("clean", "--jobs", JOB, "--yes").exception)
    assert len(trials_of(place.root)) == 2


def test_it_is_refused_while_a_job_runs(place: Place) -> None:
    with job_slot(place.root.locks, 1, holder="job-x"):
        assert isinstance(place.run("clean", "--jobs", JOB, "--yes").exception, BusyError)
    assert len(trials_of(place.root)) == 2


def test_a_job_is_named_only_with_jobs(place: Place) -> None:
    assert isinstance(place.run("clean", JOB, "--yes").exception, ConfigError)


def test_a_folder_of_jobs_elsewhere_is_left(place: Place) -> None:
    elsewhere = place.config.parent / "elsewhere"
    place.job.dir.rename(elsewhere)
    place.job.dir.symlink_to(elsewhere)
    assert "leads out of the root" in str(place.run("clean", "--jobs", JOB, "--yes", "--force").exception)
    assert (elsewhere / "trials.json").is_file()


def test_its_data_stays_and_a_conversion_does_not_replace_it_by_nothing(place: Place) -> None:
    before = place.job.sft.resolve()
    place.run("clean", "--jobs", JOB, "--yes")
    receipt = convert_job(place.job, ConversionSettings(), n_workers=0)
    assert not receipt.changed
    assert place.job.sft.resolve() == before
    told = place.run("convert", JOB)
    assert told.exit_code == EXIT_OK, told.output
    assert REMOVED in told.output
    assert place.run("score", JOB).exit_code == EXIT_OK


def test_a_conversion_of_what_never_was_converted_says_so(place: Place) -> None:
    place.run("clean", "--yes")
    place.run("clean", "--jobs", JOB, "--yes", "--force")
    with pytest.raises(ConversionError, match=REMOVED):
        convert_job(place.job, EVERY, n_workers=0)


def test_the_dashboard_says_so_on_the_pages_of_its_trials(place: Place) -> None:
    place.run("clean", "--jobs", JOB, "--yes")
    site = build_site(place.root, place.config.parent / "site").folder
    pages = [path.read_text() for path in (site / "jobs" / JOB).glob("a__*.html")]
    assert pages
    assert all("There is no trajectory of this trial: trajectory removed." in page for page in pages)


def test_a_ledger_that_is_rebuilt_takes_its_tasks_for_done(place: Place) -> None:
    place.run("clean", "--jobs", JOB, "--yes")
    (found,) = find_jobs(place.root, lambda task, _: key(task)).jobs
    assert [(each.status, each.accepted) for each in found.trials] == [(TaskStatus.DONE, True)] * 2


@pytest.mark.parametrize("point", ["removal_begun", "folder_renamed"])
def test_killed_in_between_it_is_told_and_the_next_finishes_it(place: Place, tmp_path: Path, point: str) -> None:
    points = Points(tmp_path / "points")
    points.arm(point)
    argv = [Path(sys.executable).parent / "trajgen", "--root", place.root.path, "--config", place.config]
    with subprocess.Popen(
        [*argv, "clean", "--jobs", JOB, "--yes"], env={**os.environ, **points.environ}, cwd=PROJECT
    ) as process:
        os.kill(points.wait(point), signal.SIGKILL)
        process.wait()
    assert kinds(place.root) == [Kind.HALF_REMOVED]
    with open_ledger(place.root) as ledger:
        assert ledger.counts().done == 2
    told = place.run("clean", *(["--jobs"] if point == "removal_begun" else []), "--yes")
    assert told.exit_code == EXIT_OK, told.output
    assert "finished a removal that was cut short" in told.output
    assert trials_of(place.root) == []
    assert kinds(place.root) == []


def test_an_older_ledger_learns_of_removals(tmp_path: Path) -> None:
    root = Root(tmp_path)
    create_ledger(root)
    with sqlite3.connect(root.ledger) as conn:
        conn.executescript("DROP TABLE removals; DELETE FROM schema_migrations WHERE number = 4;")
    with open_ledger(root) as ledger:
        assert ledger.removals() == []


def test_gc_takes_the_oldest_jobs_until_there_is_room_and_none_that_is_not_converted(place: Place) -> None:
    roomy = place.run("gc", "--jobs", "--keep-gb", "1", "--yes")
    assert roomy.exit_code == EXIT_OK, roomy.output
    assert len(trials_of(place.root)) == 2
    assert place.run("gc", "--jobs", "--older-than", "36500", "--yes").exit_code == EXIT_OK
    assert len(trials_of(place.root)) == 2
    job_that_is_over(place.root, "not-converted", {"c": "Look at c."})
    assert "stays: not-converted" in place.run("gc", "--jobs", "--keep-gb", "0", "--yes").output
    assert trials_of(place.root) == []
    assert [each.name for each in place.root.job("not-converted").dir.iterdir() if each.is_dir()]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("gc", "--versions", "--keep-gb", "5"), "--keep-gb is about"),
        (("gc", "--images", "--older-than", "3"), "--older-than is about"),
        (("clean", "--force", "--yes"), "--force is about"),
        (("clean", "--jobs", "--data-sets", "--yes"), "and no data sets"),
        (("clean", JOB, "--yes"), "only with --jobs"),
    ],
    ids=["keep", "older", "force", "data sets", "names"],
)
def test_what_would_be_passed_over_is_refused_and_nothing_goes(place: Place, words: tuple[str, ...], said: str) -> None:
    before = found_in(place.root.path)
    error = place.run(*words).exception
    assert isinstance(error, ConfigError)
    assert said in str(error)
    assert found_in(place.root.path) == before
