import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults import Points
from tests.unit.openhands.checkouts import Place
from trajgen_assets.core.git import Git
from trajgen_assets.core.locks import take_lock
from trajgen_assets.core.openhands.checkout import MODULE, OpenHandsCheckout, whole_checkout
from trajgen_assets.core.openhands.worktrees import FOLDER, worktrees_of
from trajgen_assets.core.paths import Root

TAKE_ONE = """
import sys
from pathlib import Path
from trajgen_assets.core.openhands.checkout import OpenHandsCheckout
from trajgen_assets.core.openhands.worktrees import worktrees_of
from trajgen_assets.core.paths import Root
with worktrees_of(OpenHandsCheckout(Path(sys.argv[1]), sys.argv[2]), Root(Path(sys.argv[3])), "dead") as worktrees:
    worktrees.take()
"""


@pytest.fixture
def checkout(tmp_path: Path) -> OpenHandsCheckout:
    return whole_checkout(Place.under(tmp_path).checked_out())


def known(checkout: OpenHandsCheckout) -> list[str]:
    """The worktrees that git knows beside the checkout itself, by name."""
    listed = Git(checkout.folder).told("worktree", "list", "--porcelain").splitlines()
    paths = [line.removeprefix("worktree ") for line in listed if line.startswith("worktree ")]
    return [Path(path).name for path in paths if Path(path) != checkout.folder]


def add_worktree(checkout: OpenHandsCheckout, path: Path) -> None:
    subprocess.run(["git", "-C", checkout.folder, "worktree", "add", "--quiet", "--detach", path], check=True)


def test_each_process_at_once_has_a_whole_checkout_of_its_own(checkout: OpenHandsCheckout, root: Root) -> None:
    with worktrees_of(checkout, root, "job-1") as worktrees, worktrees.taken() as one, worktrees.taken() as two:
        assert one != two
        for each in (one, two):
            assert (each / f"{MODULE.replace('.', '/')}.py").is_file()
            assert Git(each).told("rev-parse", "HEAD") == checkout.commit
            (each / "config.toml").write_text("key")  # also where the checkout itself is read-only
    assert known(checkout) == []
    assert not (root.sandboxes / "job-1").exists()


def test_a_worktree_is_used_again_and_clean(checkout: OpenHandsCheckout, root: Root) -> None:
    with worktrees_of(checkout, root, "job-1") as worktrees:
        with worktrees.taken() as one:
            (one / "config.toml").write_text("key")
            (one / "evaluation" / "evaluation_outputs").mkdir()
            (one / "pyproject.toml").write_text("changed")
        with worktrees.taken() as again:
            assert again == one
            assert not (again / "config.toml").exists()
            assert Git(again).told("status", "--porcelain", "--ignored") == ""
        assert known(checkout) == ["worktree-1"]


def test_they_go_where_the_job_breaks(checkout: OpenHandsCheckout, root: Root) -> None:
    def broken() -> None:
        with worktrees_of(checkout, root, "job-1") as worktrees:
            worktrees.take()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken()
    assert known(checkout) == []


def test_those_of_a_dead_job_go_when_the_next_begins_and_those_of_a_living_one_stay(
    checkout: OpenHandsCheckout, root: Root
) -> None:
    dead = root.sandboxes / "dead" / FOLDER
    with worktrees_of(checkout, root, "living") as living, living.taken() as kept:
        add_worktree(checkout, dead / "worktree-1")
        (dead / "lock").touch()
        with worktrees_of(checkout, root, "next"):
            assert known(checkout) == [kept.name]
            assert kept.is_dir()
            assert not dead.exists()


def test_those_of_a_job_that_was_killed_with_one_just_made_go(
    checkout: OpenHandsCheckout, root: Root, tmp_path: Path
) -> None:
    points = Points(tmp_path / "points")
    points.arm("openhands_worktree_made")
    argv = [sys.executable, "-c", TAKE_ONE, checkout.folder, checkout.commit, root.path]
    with subprocess.Popen(argv, env={**os.environ, **points.environ}) as killed:
        points.wait("openhands_worktree_made")
        assert known(checkout) == ["worktree-1"]
        killed.kill()
    with worktrees_of(checkout, root, "next"):
        assert known(checkout) == []
        assert [path.name for path in root.sandboxes.iterdir()] == ["next"]


def test_a_worktree_that_was_spoilt_is_given_up_and_the_key_in_it_is_gone(
    checkout: OpenHandsCheckout, root: Root
) -> None:
    with worktrees_of(checkout, root, "job-1") as worktrees:
        with worktrees.taken() as spoilt:
            (spoilt / "config.toml").write_text("key")
            (spoilt / ".git").unlink()
        assert not spoilt.exists()
        with worktrees.taken() as other:
            assert other != spoilt


def test_a_worktree_stays_as_it_is_while_the_checkout_is_brought_to_another_pin(tmp_path: Path, root: Root) -> None:
    place = Place.under(tmp_path)
    before = whole_checkout(place.checked_out())
    with worktrees_of(before, root, "job-1") as worktrees, worktrees.taken() as tree:
        (place.origin / "more.txt").write_text("more")
        after = whole_checkout(place.checked_out())
        assert after.commit != before.commit
        assert Git(tree).told("rev-parse", "HEAD") == before.commit
        assert Git(tree).told("status", "--porcelain") == ""
    assert known(after) == []


def test_a_process_that_outlives_its_job_keeps_its_worktrees(checkout: OpenHandsCheckout, root: Root) -> None:
    folder = root.sandboxes / "orphaned" / FOLDER
    (folder / "worktree-1").mkdir(parents=True)
    assert take_lock(folder / "lock") is not None  # what a child inherits
    with worktrees_of(checkout, root, "next"):
        assert (folder / "worktree-1").is_dir()


def test_worktrees_whose_folders_are_gone_are_forgotten(checkout: OpenHandsCheckout, root: Root) -> None:
    gone = root.path / "gone"
    add_worktree(checkout, gone)
    shutil.rmtree(gone)
    with worktrees_of(checkout, root, "next"):
        assert known(checkout) == []
