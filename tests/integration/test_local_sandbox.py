"""The local sandbox in Harbor's own Python: as whoever runs the tests, and once more as a user without rights."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.integration.harbor_runs import HarborJob, copy_guest, exception_type, harbor_env, reward, write_task
from tests.waiting import wait_until
from trajgen_assets.core.process import child_env

CHECKS = Path(__file__).with_name("sandbox_checks.py")
NAMES = re.findall(r"^@check\nasync def (\w+)", CHECKS.read_text(), re.MULTILINE)
NOBODY = 65534


def python_says(expression: str) -> str:
    code = f"import sys, sysconfig; print({expression})"
    done = subprocess.run([harbor_env() / "bin" / "python", "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user of this host can reach, which pytest's own are not."""
    folder = Path(tempfile.mkdtemp(prefix="trajgen-test-"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def as_nobody(folder: Path, *command: str) -> list[str]:
    """A command line without rights, in which Harbor's Python lies at `folder`/python.

    Harbor's interpreter may lie in root's home, so it is bound to where that user can read it.
    """
    for name in ("python", "site"):
        (folder / name).mkdir()
    script = (
        'mount --bind "$1" "$2/python" && mount --bind "$3" "$2/site" && shift 3 && '
        f'exec setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups --no-new-privs -- "$@"'
    )
    prefix, site = python_says("sys.base_prefix"), python_says("sysconfig.get_path('purelib')")
    return ["unshare", "--mount", "sh", "-c", script, "sh", prefix, str(folder), site, *command]


def nobody_env(folder: Path, guest: Path, home: Path) -> dict[str, str]:
    return {"PYTHONPATH": f"{guest}:{folder}/site", "LD_LIBRARY_PATH": f"{folder}/python/lib", "HOME": str(home)}


def run(argv: list[str], env: dict[str, str], cwd: Path) -> None:
    done = subprocess.run(argv, env=env, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_sandbox(name: str, tmp_path: Path) -> None:
    guest = copy_guest(tmp_path / "guest")
    env = child_env({"PYTHONPATH": str(guest), "PYTHONDONTWRITEBYTECODE": "1"})
    work = tmp_path / "work"
    work.mkdir()
    run([str(harbor_env() / "bin" / "python"), str(CHECKS), name, str(work)], env, tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="the test above already runs without root")
@pytest.mark.parametrize("name", NAMES)
def test_sandbox_without_root(name: str, open_folder: Path) -> None:
    guest = copy_guest(open_folder / "guest")
    shutil.copy(CHECKS, guest)
    work = open_folder / "work"
    work.mkdir()
    work.chmod(0o777)
    env = child_env({"PYTHONDONTWRITEBYTECODE": "1"}) | nobody_env(open_folder, guest, work)
    python = str(open_folder / "python" / "bin" / "python3")
    run(as_nobody(open_folder, python, str(guest / CHECKS.name), name, str(work)), env, open_folder)


def test_the_oracle_solves_and_the_idle_agent_does_not(tmp_path: Path) -> None:
    task = write_task(tmp_path / "greet")
    for agent, expected in (("oracle", 1.0), ("nop", 0.0)):
        job = HarborJob(tmp_path / agent)
        job.root.mkdir()
        job.prepare([task], {"name": agent})
        job.run()
        (result,) = job.results().values()
        assert exception_type(result) is None
        assert reward(result) == expected
        assert list(job.sandboxes.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="the test above already runs without root")
def test_harbor_itself_runs_without_root(open_folder: Path) -> None:
    job = HarborJob(open_folder / "work")
    job.root.mkdir()
    job.prepare([write_task(job.root / "greet")], {"name": "oracle"})
    for path in [job.root, *job.root.rglob("*")]:
        os.chown(path, NOBODY, NOBODY)
    python = [str(open_folder / "python" / "bin" / "python3"), "-c", "from harbor.cli.main import app; app()"]
    env = job.env() | nobody_env(open_folder, job.root / "guest", job.root)
    run(as_nobody(open_folder, *python, *job.argv()[1:]), env, job.root)
    (result,) = job.results().values()
    assert (exception_type(result), reward(result)) == (None, 1.0)


def test_a_dockerfile_that_fails_ends_its_own_trial_only(tmp_path: Path) -> None:
    good = write_task(tmp_path / "good")
    bad = write_task(tmp_path / "bad", dockerfile="FROM a\nFROM b\n")
    job = HarborJob(tmp_path / "run")
    job.root.mkdir()
    job.prepare([bad, good], {"name": "oracle"})
    job.run()
    assert exception_type(job.results()["bad"]) == "SandboxBuildFailedError"
    assert job.results()["bad"]["verifier_result"] is None
    assert reward(job.results()["good"]) == 1.0


def processes_with(marker: str) -> list[str]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE and marker in " ".join(process.cmdline()):
                found.append(" ".join(process.cmdline()))
    return found


def test_nothing_lives_on_when_harbor_is_killed(tmp_path: Path) -> None:
    solution = "#!/bin/bash\nsetsid -f sleep 70.881\ntmux new-session -d -s one 'sleep 70.881'\nsleep 70.881\n"
    job = HarborJob(tmp_path / "run")
    job.root.mkdir()
    job.prepare([write_task(tmp_path / "long", solution=solution)], {"name": "oracle"})
    harbor = subprocess.Popen(
        job.argv(), env=job.env(), cwd=job.root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: len([line for line in processes_with("sleep 70.881") if line.startswith("sleep")]) >= 3)
        assert processes_with(str(job.sandboxes))
    finally:
        harbor.send_signal(signal.SIGKILL)
        harbor.wait()
    wait_until(lambda: not processes_with("sleep 70.881") and not processes_with(str(job.sandboxes)), limit_s=5)
    (left,) = job.sandboxes.iterdir()
    assert left.name.startswith("sbx-long__")
