import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.provision.twins import Workshop, script
from trajgen_assets.core.errors import EnvironmentBuildError, RequirementError
from trajgen_assets.core.paths import PROJECT
from trajgen_assets.core.provision.environments import ensure_environment, locked, standing_environment
from trajgen_assets.core.provision.record import RECORD, inputs_digest, is_current

WAITING = "another set-up is at work here; waiting for it"

BUILD = """
import json, os, sys
from pathlib import Path
from trajgen_assets.core.provision.environments import EnvironmentSpec, ensure_environment
name, python, lock, store, link, uv = sys.argv[1:]
spec = EnvironmentSpec(name, Path(python), Path(lock), "tiny", ("tiny",))
done = ensure_environment(spec, Path(store), Path(link), print, uv=Path(uv))
print("built" if done.built else "found")
"""


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


def silent(_line: str) -> None:
    return


def build(workshop: Workshop, version: str = "1.0", *, uv: Path | None = None) -> bool:
    spec = workshop.spec(version)
    return ensure_environment(spec, workshop.store, workshop.link, silent, uv=uv, environ=workshop.environ).built


def builder(workshop: Workshop, uv: Path) -> subprocess.Popen[str]:
    """Another process that builds the same environment with `uv`."""
    spec = workshop.spec()
    arguments = [spec.name, spec.python, spec.lock, workshop.store, workshop.link, uv]
    return subprocess.Popen(
        [sys.executable, "-u", "-c", BUILD, *map(str, arguments)],
        cwd=PROJECT,
        env=workshop.environ,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def read_until(process: subprocess.Popen[str], line: str) -> None:
    """Wait until `process` has printed `line`; it must not end before."""
    assert process.stdout is not None
    assert any(each.strip() == line for each in process.stdout), f"it never said {line!r}"


def program_output(path: Path) -> str:
    return subprocess.run([path], capture_output=True, text=True, check=True, timeout=20).stdout


def test_a_file_that_is_not_the_locked_one_leaves_nothing(workshop: Workshop) -> None:
    spec = workshop.spec(digest="0" * 64)
    with pytest.raises(EnvironmentBuildError, match=r"(?i)hash mismatch.*Mend: the index serves another file"):
        ensure_environment(spec, workshop.store, workshop.link, silent, environ=workshop.environ)
    assert workshop.homes == []
    assert not workshop.link.is_symlink()


def test_a_version_that_the_index_lacks_leaves_nothing(workshop: Workshop) -> None:
    spec = workshop.spec()
    (workshop.folder / "wheels" / "tiny-1.0-py3-none-any.whl").unlink()
    with pytest.raises(EnvironmentBuildError, match="tiny"):
        ensure_environment(spec, workshop.store, workshop.link, silent, environ=workshop.environ)
    assert workshop.homes == []


def test_what_was_installed_but_does_not_run_leaves_nothing(workshop: Workshop) -> None:
    spec = workshop.spec(smoke=("python", "-c", "print('tiny 0.9')"))
    with pytest.raises(EnvironmentBuildError, match=r"does not run as version 1\.0"):
        ensure_environment(spec, workshop.store, workshop.link, silent, environ=workshop.environ)
    assert workshop.homes == []


def test_a_failed_renewal_leaves_the_earlier_environment_in_use(workshop: Workshop) -> None:
    build(workshop)
    before = os.readlink(workshop.link)
    with pytest.raises(EnvironmentBuildError):
        ensure_environment(
            workshop.spec("2.0", digest="0" * 64), workshop.store, workshop.link, silent, environ=workshop.environ
        )
    assert os.readlink(workshop.link) == before
    assert program_output(workshop.link / "bin" / "tiny") == "tiny 1.0\n"


def test_a_full_disk_is_named_with_its_mend(workshop: Workshop) -> None:
    uv = script(workshop.folder / "uv", "echo 'error: failed to copy: No space left on device (os error 28)'; exit 2")
    with pytest.raises(EnvironmentBuildError, match="Mend: free disk space"):
        build(workshop, uv=uv)
    assert workshop.homes == []


def test_an_interpreter_that_does_not_run_is_named_before_anything_is_made(workshop: Workshop) -> None:
    spec = workshop.spec()
    missing = type(spec)(spec.name, workshop.folder / "python3", spec.lock, spec.distribution, spec.smoke)
    with pytest.raises(RequirementError, match="the Python for tiny-uv does not run"):
        ensure_environment(missing, workshop.store, workshop.link, silent, environ=workshop.environ)
    assert workshop.homes == []


def test_a_folder_in_the_place_of_the_link_is_left_alone(workshop: Workshop) -> None:
    workshop.link.mkdir(parents=True)
    with pytest.raises(EnvironmentBuildError, match="a folder stands where the link"):
        build(workshop)
    assert workshop.link.is_dir()


def test_a_built_environment_runs_through_its_link_and_says_what_it_was_made_from(workshop: Workshop) -> None:
    assert build(workshop)
    assert program_output(workshop.link / "bin" / "tiny") == "tiny 1.0\n"
    record = json.loads((workshop.link / RECORD).read_bytes())
    assert record["inputs"] == inputs_digest(workshop.spec().lock)
    assert list(workshop.link.resolve().rglob("tiny.*.pyc"))
    assert not Path(os.readlink(workshop.link)).is_absolute()


def test_a_second_call_asks_nothing_of_uv(workshop: Workshop) -> None:
    build(workshop)
    unusable = script(workshop.folder / "uv", "exit 1")
    assert not build(workshop, uv=unusable)


def test_another_lock_makes_another_environment_and_moves_the_link(workshop: Workshop) -> None:
    build(workshop)
    first = standing_environment(workshop.link.parent, "tiny-uv")
    assert first is not None
    assert build(workshop, "2.0")
    assert program_output(workshop.link / "bin" / "tiny") == "tiny 2.0\n"
    assert program_output(first.path / "bin" / "tiny") == "tiny 1.0\n"  # a job that still runs keeps its own
    assert len(workshop.homes) == 2


def test_an_environment_may_be_moved_with_its_checkout(workshop: Workshop) -> None:
    build(workshop)
    moved = workshop.folder.parent / f"{workshop.folder.name}-moved"
    workshop.folder.rename(moved)
    assert program_output(moved / "env" / "tiny-uv" / "bin" / "tiny") == "tiny 1.0\n"
    moved.rename(workshop.folder)


def test_an_environment_whose_interpreter_is_gone_is_not_current(workshop: Workshop) -> None:
    build(workshop)
    inputs = inputs_digest(workshop.spec().lock)
    assert is_current(workshop.link, inputs)
    python = workshop.link / "bin" / "python"
    python.unlink()
    python.symlink_to(workshop.folder / "gone")
    assert not is_current(workshop.link, inputs)
    assert build(workshop)


def test_an_environment_stands_only_if_it_is_complete(workshop: Workshop) -> None:
    assert standing_environment(workshop.link.parent, "tiny-uv") is None
    build(workshop)
    standing = standing_environment(workshop.link.parent, "tiny-uv")
    assert standing is not None
    assert standing.path.name == f"tiny-uv-{standing.record.digest}"
    (workshop.link / RECORD).unlink()
    assert standing_environment(workshop.link.parent, "tiny-uv") is None


def test_two_builders_at_once_build_once(workshop: Workshop) -> None:
    uv, release = workshop.held_uv()
    first = builder(workshop, uv)
    read_until(first, "syncing")
    second = builder(workshop, uv)
    read_until(second, WAITING)
    release.touch()
    assert first.communicate(timeout=60)[0].splitlines()[-1] == "built"
    assert second.communicate(timeout=60)[0].splitlines() == ["found"]


def test_a_builder_that_was_killed_leaves_nothing_under_a_final_name(workshop: Workshop) -> None:
    process = builder(workshop, workshop.held_uv()[0])
    read_until(process, "syncing")
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=10)
    assert [name[:10] for name in workshop.homes] == [".building-"]
    assert build(workshop)
    assert [name[:8] for name in workshop.homes] == ["tiny-uv-"]


def test_an_interrupted_builder_ends_uv_and_removes_its_work(workshop: Workshop) -> None:
    process = builder(workshop, workshop.held_uv()[0])
    read_until(process, "syncing")
    os.kill(process.pid, signal.SIGINT)
    process.communicate(timeout=10)
    assert workshop.homes == []


def test_an_orphaned_uv_still_keeps_the_next_builder_out(workshop: Workshop) -> None:
    uv, release = workshop.held_uv()
    process = builder(workshop, uv)
    read_until(process, "syncing")
    process.kill()
    process.wait(10)
    told: list[str] = []

    def let_go(line: str) -> None:
        told.append(line)
        release.touch()

    done = ensure_environment(workshop.spec(), workshop.store, workshop.link, let_go, environ=workshop.environ)
    process.communicate(timeout=10)
    assert done.built
    assert told[0] == WAITING


def test_a_lock_is_free_again_when_its_block_ends(tmp_path: Path) -> None:
    told: list[str] = []
    for _ in range(2):
        with locked(tmp_path / "lock", told.append):
            pass
    assert told == []
