"""A disk that fills up in the middle of a job costs nothing that was finished, and the next start does the rest."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.disks import small_disk
from tests.e2e.conftest import SOLVED, UNSOLVED, Installation
from trajgen_assets.core.capture.stored import compressed_name, content_sha256, stored
from trajgen_assets.core.capture.verdict import Capture
from trajgen_assets.core.ledger.store import open_ledger
from trajgen_assets.core.paths import Root
from trajgen_assets.core.report.archive import read_runs
from trajgen_assets.core.scripted import ScriptedModel

pytestmark = pytest.mark.e2e

SIZE_MB = 48
PATIENCE_S = 150.0


@pytest.fixture
def on_a_small_disk(tmp_path: Path, env_dir: Path, model: ScriptedModel) -> Iterator[Installation]:
    with small_disk(tmp_path / "disk", f"{SIZE_MB}m") as disk:
        made = Installation(Root(disk / "root", env_dir))
        made.configure(model.base_url)
        text = made.config.read_text()  # no disk of this size is above the mark
        made.config.write_text(text.replace("timeout_multiplier: 1", "timeout_multiplier: 1, min_free_gb: 0"))
        text = made.config.read_text()
        made.config.write_text(text.replace("    harbor_job:", "    capture: {compress: zstd}\n    harbor_job:"))
        yield made
        assert made.processes() == []


def fill(disk: Path) -> Path:
    """Write until nothing more fits."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while file.write(b"\0" * size):
                    pass
            except OSError:
                continue
    return filler


def test_a_full_disk_in_mid_job_loses_nothing_and_the_next_start_finishes(on_a_small_disk: Installation) -> None:
    assert on_a_small_disk.run("setup", "--skip-environments")[0] == 0
    start = on_a_small_disk.begin("start")
    deadline = time.monotonic() + PATIENCE_S
    while not list(on_a_small_disk.root.jobs.glob("*/*/agent")):
        assert time.monotonic() < deadline, "no trial began in time"
        time.sleep(0.1)
    filler = fill(on_a_small_disk.root.path.parent)
    output, _ = start.communicate(timeout=PATIENCE_S)
    assert start.returncode != 0, output
    assert "Traceback" not in output, output

    os.unlink(filler)
    code, output = on_a_small_disk.run("start")
    assert code == 0, output
    with open_ledger(on_a_small_disk.root) as ledger:
        ledger.check_balance()
        for task_id in (*SOLVED, UNSOLVED):
            (row,) = [row for row in ledger.rows() if row.task_id == task_id]
            accepted = [attempt for attempt in ledger.attempts(row.key) if attempt.accepted]
            assert len(accepted) == 1
            path = on_a_small_disk.root.path / str(accepted[0].trajectory_path)
            assert content_sha256(path) == accepted[0].trajectory_sha256
            capture = Capture.model_validate_json((path.parent / "capture.json").read_bytes())
            assert capture.agent_count is not None
            assert capture.agent_count.n_replies == capture.ok > 0
            is_of_the_last_job = accepted[0].job == max(job.name for job in ledger.jobs())
            assert not is_of_the_last_job or stored(path) == compressed_name(path)
        jobs = sorted(job.name for job in ledger.jobs())
    assert sorted(row.job for row in read_runs(on_a_small_disk.root).rows) == jobs  # each once, however it ended
    assert not list((on_a_small_disk.root.archives / ".open").iterdir())
