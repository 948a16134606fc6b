"""Downloads that the configuration has left behind go when a person says so; those of today, and strangers, stay."""

from pathlib import Path

import pytest
import yaml

from tests.unit.clean.conftest import Place
from trajgen_assets.core.config.load import load_config
from trajgen_assets.core.errors import BusyError, ConfigError
from trajgen_assets.core.exit_codes import EXIT_OK
from trajgen_assets.core.intake.remote.remote import Remote
from trajgen_assets.core.locks import locked
from trajgen_assets.core.rollout.slots import job_slot

OLD, NEW = "1" * 40, "2" * 40


def at(place: Place, revision: str) -> Remote:
    """The download of one commit, which the configuration names from now on."""
    content = yaml.safe_load(place.config.read_text())
    content["runtime_info"]["input"]["task_sources"] = [
        {
            "dataset_name": "acme/far",
            "provider": "huggingface",
            "manifest": "none",
            "download": {"revision": revision, "dir": "sources"},
        }
    ]
    place.config.write_text(yaml.safe_dump(content))
    (remote,) = load_config(place.config).remotes()
    return remote


def lay(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")


@pytest.fixture
def old(place: Place) -> Remote:
    """A download of yesterday, whole, beside half of another and what people have put there."""
    old = at(place, OLD)
    lay(old.folder, "source.json", "tasks/a/task.toml")
    lay(at(place, "3" * 40).part, "download/a.bin")
    lay(old.base, "mine/source.json", "by-hand-0123456789/task.toml", "notes.txt")
    return old


def test_what_is_no_more_named_goes_and_nothing_else(place: Place, old: Remote) -> None:
    new = at(place, NEW)
    lay(new.folder, "source.json", "tasks/a/task.toml")
    lay(new.part, "download/a.bin")

    told = place.run("gc", "--sources", "--dry-run")
    assert told.output.endswith("2 downloads would be deleted\n"), told.output
    assert old.is_whole
    done = place.run("gc", "--sources", "--yes")

    assert (done.exit_code, done.output.splitlines()[-1]) == (EXIT_OK, "2 downloads deleted")
    left = {path.name for path in old.base.iterdir() if not path.name.endswith(".lock")}
    assert left == {new.folder.name, new.part.name, "mine", "by-hand-0123456789", "notes.txt"}
    assert place.run("gc", "--sources", "--yes").output == "0 downloads deleted\n"


def test_one_that_is_downloaded_now_or_that_staged_tasks_lead_into_stays(place: Place, old: Remote) -> None:
    half = at(place, "3" * 40)
    at(place, NEW)
    link = place.root.tasks / "far" / "a"
    link.parent.mkdir(parents=True)
    link.symlink_to(old.tasks / "a")
    with locked(half.lock):
        told = place.run("gc", "--sources", "--yes").output
    assert "stays: staged tasks are links into it" in told
    assert "stays: somebody downloads it now" in told
    assert old.is_whole
    assert half.part.exists()


def test_what_a_deletion_that_was_killed_has_left_goes_with_the_next(place: Place, old: Remote) -> None:
    at(place, NEW)
    old.folder.rename(old.base / f".removing-{old.folder.name}")
    (old.base / f".removing-{old.folder.name}" / "source.json").unlink()
    assert place.run("gc", "--sources", "--yes").output.endswith("2 downloads deleted\n")


def test_it_is_refused_while_a_job_runs_and_where_nobody_can_be_asked(place: Place, old: Remote) -> None:
    at(place, NEW)
    assert isinstance(place.run("gc", "--sources").exception, ConfigError)
    with job_slot(place.root.locks, 1, holder="j"):
        assert isinstance(place.run("gc", "--sources", "--yes").exception, BusyError)
    assert old.is_whole
