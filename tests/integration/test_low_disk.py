"""Below the disk mark a trial waits before its sandbox begins: it goes on when there is room, and hears a stop."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.disks import small_disk
from tests.integration.harbor_runs import HarborJob, exception_type, reward, write_task
from tests.waiting import wait_until

SIZE_MB, FILLER_MB = 32, 24
MARK_GB = 20 / 1024
NEVER_GB = 1e9
BEGUN_S = 120.0


@pytest.fixture
def job(tmp_path: Path) -> HarborJob:
    (tmp_path / "run").mkdir()
    made = HarborJob(tmp_path / "run")
    made.prepare([write_task(tmp_path / "one")], {"name": "oracle"})
    return made


@contextmanager
def running(job: HarborJob, min_free_gb: float) -> Iterator[subprocess.Popen[bytes]]:
    argv = [*job.argv(), "--plugin-kwarg", f"min_free_gb={min_free_gb}"]
    harbor = subprocess.Popen(argv, env=job.env(), cwd=job.root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: "trial_waits" in names(job), limit_s=BEGUN_S, alive=lambda: harbor.poll() is None)
        yield harbor
    finally:
        harbor.kill()
        harbor.wait()


def names(job: HarborJob) -> list[str]:
    return [event["event"] for event in job.events()]


def test_a_trial_that_waits_for_room_goes_on_when_there_is(job: HarborJob) -> None:
    with small_disk(job.proxy, f"{SIZE_MB}m"):
        filler = job.proxy / "filler"
        filler.write_bytes(b"\0" * (FILLER_MB << 20))
        with running(job, MARK_GB) as harbor:
            (waits,) = [event for event in job.events() if event["event"] == "trial_waits"]
            assert waits["free_gb"] < waits["min_free_gb"]
            assert "environment_started" not in names(job)
            filler.unlink()
            assert harbor.wait(BEGUN_S) == 0
        assert [reward(result) for result in job.results().values()] == [1.0]
        assert names(job)[1:4] == ["trial_started", "trial_waits", "environment_started"]


def test_a_trial_that_waits_for_room_hears_that_no_more_are_wanted(job: HarborJob) -> None:
    with running(job, NEVER_GB) as harbor:
        (job.proxy / "stop").touch()
        assert harbor.wait(BEGUN_S) == 0
    assert {exception_type(result) for result in job.results().values()} == {"JobStoppedError"}
