import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.unit.provision.twins import Workshop, script
from trajgen_assets.core.errors import EnvironmentBuildError, RequirementError
from trajgen_assets.core.paths import PROJECT
from trajgen_assets.core.provision.environments import ensure_environment, locked, standing_environment
from trajgen_assets.core.provision.record import RECORD, Record, inputs_digest, is_current
from trajgen_assets.core.provision.uv import require_uv

INDEX_FREE = ("UV_FIND_LINKS", "UV_NO_INDEX", "UV_OFFLINE")
WAITING = "another set-up is at work here; waiting for it"

BUILD = """
import json, os, sys
from pathlib import Path
from trajgen_assets.core.errors import TrajgenError
from trajgen_assets.core.provision.environments import EnvironmentSpec, ensure_environment
name, python, lock, store, link, uv, *rebuild = sys.argv[1:]
spec = EnvironmentSpec(name, Path(python), Path(lock), "tiny", ("tiny",))
try:
    done = ensure_environment(spec, Path(store), Path(link), print, uv=Path(uv), rebuild=bool(rebuild))
except TrajgenError as error:
    sys.exit(str(error))
print("built" if done.built else "found")
"""


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


def silent(_line: str) -> None:
    return


def build(workshop: Workshop, version: str = "1.0", *, uv: Path | None = None, rebuild: bool = False) -> bool:
    spec = workshop.spec(version)
    return ensure_environment(
        spec, workshop.store, workshop.link, silent, uv=uv, environ=workshop.environ, rebuild=rebuild
    ).built


def builder(
    workshop: Workshop, uv: Path, *, version: str = "1.0", rebuild: bool = False, around: Sequence[str] = ()
) -> subprocess.Popen[str]:
    """Another process that builds the environment with `uv`, run by the program `around`."""
    spec = workshop.spec(version)
    arguments = [
        spec.name,
        spec.python,
        spec.lock,
        workshop.store,
        workshop.link,
        uv,
        *(["rebuild"] if rebuild else []),
    ]
    return subprocess.Popen(
        [*around, sys.executable, "-u", "-c", BUILD, *map(str, arguments)],
        cwd=PROJECT,
        env=workshop.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
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


def test_without_the_network_the_earlier_environment_is_in_use_and_the_next_build_is_whole(workshop: Workshop) -> None:
    build(workshop)
    before, spec = (os.readlink(workshop.link), workshop.homes), workshop.spec("2.0")
    offline = {name: value for name, value in workshop.environ.items() if name not in INDEX_FREE}
    offline |= {"UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple", "UV_HTTP_RETRIES": "0"}
    with pytest.raises(EnvironmentBuildError, match="Mend: check the network"):
        ensure_environment(spec, workshop.store, workshop.link, silent, environ=offline)
    assert (os.readlink(workshop.link), workshop.homes) == before
    assert program_output(workshop.link / "bin" / "tiny") == "tiny 1.0\n"
    assert build(workshop, "2.0")
    assert program_output(workshop.link / "bin" / "tiny") == "tiny 2.0\n"


def test_a_place_that_cannot_be_written_is_named_with_its_mend_and_serves_what_stands(workshop: Workshop) -> None:
    build(workshop)
    read_only = ("bwrap", "--dev-bind", "/", "/", "--ro-bind", str(workshop.folder), str(workshop.folder))
    if subprocess.run([*read_only, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("bubblewrap cannot make a sandbox here")
    told = builder(workshop, require_uv(os.environ), version="2.0", around=read_only).communicate(timeout=60)[0]
    assert "environments cannot be built here" in told
    assert told.rstrip().endswith("Mend: name a place that can be written: export TRAJGEN_ENV_DIR=…")
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


def test_a_rebuild_that_fails_or_is_killed_leaves_the_one_that_stands(workshop: Workshop) -> None:
    build(workshop)
    before = workshop.link.resolve().stat().st_ino
    with pytest.raises(EnvironmentBuildError):
        build(workshop, uv=script(workshop.folder / "uv", "exit 1"), rebuild=True)
    process = builder(workshop, workshop.held_uv()[0], rebuild=True)
    read_until(process, "syncing")
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=10)
    assert workshop.link.resolve().stat().st_ino == before
    assert program_output(workshop.link / "bin" / "tiny") == "tiny 1.0\n"
    assert build(workshop, rebuild=True)
    assert workshop.link.resolve().stat().st_ino != before
    assert [name[:8] for name in workshop.homes] == ["tiny-uv-"]


def test_a_rebuild_that_was_killed_between_its_two_renames_is_made_good_by_the_next_build(workshop: Workshop) -> None:
    build(workshop)
    home = workshop.link.resolve()
    home.rename(home.with_name(f".building-{home.name}.earlier"))
    assert standing_environment(workshop.link.parent, "tiny-uv") is None
    assert build(workshop)
    assert workshop.homes == [home.name]


def test_what_a_later_version_adds_to_a_record_does_not_make_it_unreadable(workshop: Workshop) -> None:
    build(workshop)
    path = workshop.link / RECORD
    record = json.loads(path.read_bytes())
    assert record["build_s"] > 0
    path.write_text(json.dumps(record | {"colour": "green"}))
    assert not build(workshop)
    del record["build_s"]  # as an earlier version wrote it
    path.write_text(json.dumps(record))
    read = Record.read(workshop.link)
    assert read is not None
    assert read.build_s is None


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
