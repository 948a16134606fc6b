"""A folder that an agent could write to takes our file, whatever the agent made of the folder."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from trajgen_assets.core.capture.untrusted_folder import opened_folder, placed_file

NOBODY = 65534


@pytest.fixture
def trial() -> Iterator[Path]:
    """A folder of whoever `as_whom` names, where others can get to: pytest's own is root's alone if root runs it."""
    folder = Path(tempfile.mkdtemp())
    os.chown(folder, as_whom() or os.getuid(), -1)
    yield folder
    for each in (folder, *folder.rglob("*")):
        each.chmod(0o700)
    shutil.rmtree(folder)


def as_whom() -> int | None:
    """No mode keeps root out of anything, so where root runs the tests nobody places the file."""
    return NOBODY if os.geteuid() == 0 else None


def place(trial: Path) -> None:
    """Place a file from a process of `as_whom`: a fork, because another user may not even run our interpreter."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            if (user := as_whom()) is not None:
                os.setuid(user)
            with opened_folder(trial, "agent") as folder, placed_file(folder, "record") as file:
                file.write(b"ours")
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0


@pytest.mark.parametrize("mode", [0o000, 0o500, 0o300])
def test_a_folder_that_an_agent_closed_is_moved_aside(trial: Path, mode: int) -> None:
    agent = trial / "agent"
    agent.mkdir()
    (agent / "theirs").touch()
    os.chown(agent, as_whom() or os.getuid(), -1)
    agent.chmod(mode)
    place(trial)
    assert (trial / "agent" / "record").read_bytes() == b"ours"
    (aside,) = trial.glob("agent.displaced-*")
    aside.chmod(0o700)
    assert [path.name for path in aside.iterdir()] == ["theirs"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can leave a folder of root's")
def test_a_folder_that_a_container_left_as_roots_is_moved_aside(trial: Path) -> None:
    (trial / "agent").mkdir(mode=0o700)
    place(trial)
    assert (trial / "agent" / "record").read_bytes() == b"ours"


def test_a_folder_in_order_is_left_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "agent").mkdir()
    with opened_folder(tmp_path, "agent") as folder, placed_file(folder, "record") as file:
        file.write(b"ours")
    assert [path.name for path in tmp_path.iterdir()] == ["agent"]


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "agent").symlink_to(elsewhere)
    with opened_folder(tmp_path, "agent") as folder, placed_file(folder, "record") as file:
        file.write(b"ours")
    assert list(elsewhere.iterdir()) == []
    assert (tmp_path / "agent" / "record").read_bytes() == b"ours"
