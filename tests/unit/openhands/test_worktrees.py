import shutil
import subprocess
from pathlib import Path

import pytest

from tests.unit.openhands.checkouts import Place
from trajgen_assets.core.git import Git
from trajgen_assets.core.locks import take_lock
from trajgen_assets.core.openhands.checkout import MODULE, OpenHandsCheckout, whole_checkout
from trajgen_assets.core.openhands.worktrees import FOLDER, worktrees_of
from trajgen_assets.core.paths import Root


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
