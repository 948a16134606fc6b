"""`trajgen clean` takes what can be made again and nothing else, from a root in which nobody is at work."""

import json
import os
import subprocess

import pytest

from tests.integration.finished_job import JOB
from tests.trees import found_in
from tests.unit.clean.conftest import KEPT, Place
from tests.unit.ledger.twins import batch, listed, register
from trajgen_assets.core.clean.at_rest import at_rest
from trajgen_assets.core.clean.outputs import find_outputs, remove_output
from trajgen_assets.core.errors import BusyError
from trajgen_assets.core.exit_codes import EXIT_OK
from trajgen_assets.core.ledger.store import open_ledger
from trajgen_assets.core.paths import Root
from trajgen_assets.core.rollout.slots import job_slot
from trajgen_assets.core.sft.data_sets.build import Order, build_data_set
from trajgen_assets.core.sft.data_sets.selection import Selection
from trajgen_assets.core.sft.making import making_data
from trajgen_assets.core.sft.settings import ConversionSettings


def gone(root: Root, *names: str) -> bool:
    return not any(os.path.lexists(root.path / name) for name in names)


def test_what_can_be_made_again_goes_and_the_rest_has_every_byte(place: Place) -> None:
    before, source = place.bytes_of("jobs", "archives", "dagster_home"), found_in(place.source)
    done = place.run("clean", "--yes")
    assert done.exit_code == EXIT_OK, done.output
    outputs = (f"sft_data/{JOB}", f"sft_data/.versions/{JOB}", f"litellm/{JOB}", "logs/dagster-daemon.log")
    assert gone(place.root, *outputs, "dashboard/site", "tasks/py-cc/a", "tasks/py-cc/b")
    assert place.bytes_of("jobs", "archives", "dagster_home") == before
    assert found_in(place.source) == source
    assert all((place.root.path / name).is_file() for name in (*KEPT, "ledger.sqlite"))
    assert place.run("clean", "--yes").output == "there is nothing to remove\n"


def test_a_dry_run_shows_each_path_with_count_and_bytes_and_touches_nothing(place: Place) -> None:
    before = found_in(place.root.path)
    told = place.run("clean", "--dry-run")
    assert "logs/dagster-daemon.log: 1 file, 0.00 MB" in told.output
    facts = json.loads(place.run("clean", "--dry-run", "--json").stdout)
    assert facts["dry_run"]
    assert facts["n_files"] == sum(each["n_files"] for each in facts["paths"])
    assert {each["kind"] for each in facts["paths"]} == {
        "training data", "dashboard", "proxy files", "logs", "staged tasks",
    }  # fmt: skip
    assert found_in(place.root.path) == before


def test_nothing_goes_unless_somebody_agrees(place: Place) -> None:
    before = place.bytes_of("sft_data", "logs", "tasks")
    assert place.run("clean").exit_code != EXIT_OK
    assert place.bytes_of("sft_data", "logs", "tasks") == before


def test_a_link_is_not_followed_out_of_the_root(place: Place) -> None:
    outside = place.config.parent / "elsewhere"
    outside.mkdir()
    (outside / "im.jsonl").write_text("{}\n")
    (place.root.sft_data / "other").symlink_to(outside)
    place.root.logs.rename(place.config.parent / "logs")
    place.root.logs.symlink_to(place.config.parent / "logs")
    told = place.run("clean", "--yes")
    assert told.exit_code == EXIT_OK
    assert (outside / "im.jsonl").is_file()
    assert (place.root.sft_data / "other").is_symlink()
    assert (place.config.parent / "logs" / "dagster-daemon.log").is_file()
    assert "leads out of the root" in told.output


def test_a_file_that_we_did_not_write_keeps_its_folder(place: Place) -> None:
    (place.job.sft / "notes.txt").write_text("mine")
    (place.root.path / "dashboard" / "site" / ".site.json").unlink()
    (place.root.tasks / "py-cc" / "mine").mkdir()
    assert place.run("clean", "--yes").exit_code == EXIT_OK
    assert (place.job.sft / "notes.txt").read_text() == "mine"
    assert (place.root.path / "dashboard" / "site" / "index.html").is_file()
    assert (place.root.tasks / "py-cc" / "mine").is_dir()


def test_a_data_set_and_what_it_was_made_of_stay_unless_asked_for(place: Place) -> None:
    settings = ConversionSettings(instance_status="all")
    order = Order.of("both", [place.job], Selection(jobs=(JOB,)), settings)
    build_data_set(order, place.root.job("both").sft)
    told = place.run("clean", "--yes").output
    assert "it is a data set" in told
    assert place.job.sft.exists()
    assert place.run("clean", "--yes", "--data-sets").exit_code == EXIT_OK
    assert gone(place.root, "sft_data/both", f"sft_data/{JOB}")


def test_what_git_tracks_stays(place: Place) -> None:
    git = ["git", "-C", str(place.root.path)]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "-f", "logs"], check=True)
    assert "git tracks files of it" in place.run("clean", "--yes").output
    assert (place.root.logs / "dagster-daemon.log").is_file()


def test_what_git_may_track_stays_where_git_cannot_answer(place: Place) -> None:
    git = ["git", "-C", str(place.root.path)]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "-f", "logs"], check=True)
    (place.root.path / ".git" / "HEAD").write_text("torn")
    assert "nobody can tell whether git tracks files of it" in place.run("clean", "--yes").output
    assert (place.root.logs / "dagster-daemon.log").is_file()


def test_it_is_refused_while_a_job_runs(place: Place) -> None:
    before = place.bytes_of("sft_data", "logs", "tasks", "litellm")
    with job_slot(place.root.locks, 1, holder="job-x"):
        done = place.run("clean", "--yes")
    assert isinstance(done.exception, BusyError)
    assert "job-x" in str(done.exception)
    assert place.bytes_of("sft_data", "logs", "tasks", "litellm") == before


def test_it_is_refused_while_data_is_being_made(place: Place) -> None:
    with making_data(place.root, JOB):
        assert isinstance(place.run("clean", "--yes").exception, BusyError)
    assert place.job.sft.exists()


def test_it_is_refused_while_a_job_is_not_settled(place: Place) -> None:
    with open_ledger(place.root) as ledger:
        register(ledger, listed("c", "d1"), whole=False)
        ledger.assign("lost", batch(task_ids=["c"]))
        ledger.claim("lost", "run", ttl_s=60)
    assert "not settled" in str(place.run("clean", "--yes").exception)


def test_no_job_begins_while_a_root_is_held(place: Place) -> None:
    slot = job_slot(place.root.locks, 2, holder="job-x")
    with at_rest(place.root, holder="cleaning", n_slots=2), pytest.raises(BusyError, match="cleaning"):
        slot.__enter__()
    with job_slot(place.root.locks, 2, holder="job-x"):
        pass


def test_what_a_killed_removal_left_goes_with_the_next(place: Place) -> None:
    half = place.root.litellm / f".removing-{JOB}"
    place.job.proxy.rename(half)
    for each in find_outputs(place.root, None):
        remove_output(each)
    assert not half.exists()
