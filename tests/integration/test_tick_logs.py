"""What a sensor logs at a tick is kept; what a run prints is not, and costs no process."""

import os
from pathlib import Path

import dagster as dg
import psutil
from dagster._core.storage.compute_log_manager import ComputeIOType

from resources.instance import open_instance, prepare_instance
from resources.tick_logs import TickLogManager
from trajgen_assets.core.paths import Root


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_tick_that_says_nothing_makes_no_file_and_one_that_speaks_is_read_back(tmp_path: Path) -> None:
    root = Root(tmp_path)
    prepare_instance(root, max_jobs=1)
    with open_instance(root) as instance:
        manager = instance.compute_log_manager
        assert isinstance(manager, TickLogManager)
        stderr = ComputeIOType.STDERR
        with manager.open_log_stream(["sensor", "silent"], stderr):
            pass
        assert files_below(root.dagster_home / "tick_logs") == []
        with manager.open_log_stream(["sensor", "speaks"], stderr) as stream:
            assert stream is not None
            stream.write("two words\n")
        (kept,) = files_below(root.dagster_home / "tick_logs")
        assert kept.stat().st_mode & 0o777 == 0o600
        assert manager.get_log_data(["sensor", "speaks"]).stderr == b"two words\n"


def test_a_run_starts_no_process_that_copies_its_output(tmp_path: Path) -> None:
    root = Root(tmp_path)
    prepare_instance(root, max_jobs=1)
    children: list[int] = []

    @dg.op
    def look() -> None:
        children.extend(child.pid for child in psutil.Process(os.getpid()).children())

    @dg.job(executor_def=dg.in_process_executor)
    def looking() -> None:
        look()

    before = {child.pid for child in psutil.Process(os.getpid()).children()}
    with open_instance(root) as instance:
        assert looking.execute_in_process(instance=instance).success
    assert set(children) <= before
