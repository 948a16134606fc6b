"""Job slots are held by whoever lives, and by nobody else."""

import subprocess
import sys
from pathlib import Path

import pytest

from trajgen_assets.core.errors import BusyError
from trajgen_assets.core.rollout.slots import job_slot, live_holders


def test_a_full_host_refuses_at_once_and_names_the_holder(tmp_path: Path) -> None:
    with job_slot(tmp_path, 1, holder="job-a"), pytest.raises(BusyError, match="job-a"):
        job_slot(tmp_path, 1, holder="b").__enter__()


def test_there_are_as_many_slots_as_configured(tmp_path: Path) -> None:
    with job_slot(tmp_path, 2, holder="job-a"), job_slot(tmp_path, 2, holder="job-b"):
        assert live_holders(tmp_path) == {"job-a", "job-b"}
    assert live_holders(tmp_path) == set()


def test_a_waiting_job_gets_the_slot_when_it_is_free(tmp_path: Path) -> None:
    first = job_slot(tmp_path, 1, holder="job-a")
    first.__enter__()
    told: list[str] = []

    def wait(holders: str) -> None:
        told.append(holders)
        first.__exit__(None, None, None)

    with job_slot(tmp_path, 1, holder="job-b", wait=wait):
        assert told == ["job slots are held by job-a"]


def test_a_child_that_inherited_the_lock_holds_the_slot_after_its_parent_is_gone(tmp_path: Path) -> None:
    with job_slot(tmp_path, 1, holder="job-a") as fd:
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(fd,))
    try:
        assert live_holders(tmp_path) == {"job-a"}
        with pytest.raises(BusyError), job_slot(tmp_path, 1, holder="job-b"):
            pass
    finally:
        child.communicate(b"\n", timeout=10)
    assert live_holders(tmp_path) == set()
