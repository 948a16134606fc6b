"""A lock is held by whoever has its descriptor, and by nobody else."""

import subprocess
import sys
from pathlib import Path

from trajgen_assets.core.locks import is_locked, locked, locked_if_free, take_lock


def test_a_lock_that_is_taken_is_not_given_again_and_its_holder_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "locks" / "one"
    with locked_if_free(path) as mine:
        assert mine is not None
        assert is_locked(path)
        assert take_lock(path) is None
        with locked_if_free(path) as second:
            assert second is None
    assert not is_locked(path)


def test_a_child_that_inherited_the_descriptor_keeps_the_lock_until_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "one"
    with locked(path) as fd:
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(fd,))
    assert is_locked(path)
    child.communicate(b"\n", timeout=10)
    with locked_if_free(path) as free:
        assert free is not None


def test_one_who_waits_gets_the_lock_when_its_holder_dies(tmp_path: Path) -> None:
    path = tmp_path / "one"
    hold = "from pathlib import Path; import sys; from trajgen_assets.core.locks import take_lock\n"
    hold += "fd = take_lock(Path(sys.argv[1])); print(flush=True); input()"
    other = subprocess.Popen([sys.executable, "-c", hold, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdout is not None
    other.stdout.readline()
    assert is_locked(path)
    other.kill()
    with locked(path):
        assert other.wait(10) < 0
    other.communicate()
