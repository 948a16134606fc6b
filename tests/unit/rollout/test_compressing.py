"""Of jobs that are over the trajectories become small, wherever they lie; of one that runs nothing is touched."""

import os
import time
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.unit.ledger.twins import register, start
from trajgen_assets.cli.main import app
from trajgen_assets.core.capture.stored import compressed_name, content_sha256, stored
from trajgen_assets.core.errors import ConfigError
from trajgen_assets.core.ledger import Ledger
from trajgen_assets.core.ledger.models import JobState, Lease
from trajgen_assets.core.paths import Root
from trajgen_assets.core.rollout.compressing import compress_or_say_why_not, plain_jobs

TRIAL = "a__1"


def rolled_out(root: Root, ledger: Ledger, job: str = "j") -> tuple[Lease, list[Path]]:
    """A job that runs, and its trajectory where it was written and where it was published."""
    register(ledger, "a")
    lease = start(ledger, job)
    files = root.job(job)
    paths = [files.trajectory(TRIAL), files.proxy / "trajectories" / f"{TRIAL}.jsonl"]
    for path in paths:
        path.parent.mkdir(parents=True)
        path.write_text('{"success": true}\n' * 100)
    files.trials.write_text("{}")
    return lease, paths


def names(root: Root, ledger: Ledger, days: float = 0) -> list[str]:
    return [job.name for job in plain_jobs(root, ledger, older_than=timedelta(days=days))]


def test_a_job_that_runs_is_left_alone_and_one_that_is_over_is_not(root: Root, ledger: Ledger) -> None:
    lease, paths = rolled_out(root, ledger)
    assert names(root, ledger) == []
    ledger.release(lease, JobState.FINISHED)
    (job,) = plain_jobs(root, ledger, older_than=timedelta(0))
    assert (job.name, sorted(job.trajectories)) == ("j", sorted(paths))
    before = job.size_bytes
    job.compress()
    assert [stored(path) for path in paths] == [compressed_name(path) for path in paths]
    assert job.size_bytes < before / 10
    assert names(root, ledger) == []


def test_only_what_ended_long_ago_is_taken(root: Root, ledger: Ledger) -> None:
    lease, _ = rolled_out(root, ledger)
    ledger.release(lease, JobState.FINISHED)
    two_days_ago = time.time() - 2 * 86400
    os.utime(root.job("j").trials, (two_days_ago, two_days_ago))
    assert [names(root, ledger, days) for days in (1, 3)] == [["j"], []]


def test_a_folder_that_an_agent_made_a_link_of_is_not_gone_into(root: Root, ledger: Ledger, tmp_path: Path) -> None:
    lease, (published, written) = rolled_out(root, ledger)
    ledger.release(lease, JobState.FINISHED)
    outside = tmp_path / "outside"
    published.parent.rename(outside)
    published.parent.symlink_to(outside)
    (job,) = plain_jobs(root, ledger, older_than=timedelta(0))
    assert job.trajectories == (written,)


def test_a_job_ends_as_it_has_where_its_trajectories_cannot_be_compressed(
    root: Root, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    _, (published, _) = rolled_out(root, ledger)
    digest = content_sha256(published)
    compressed_name(published).mkdir()
    compress_or_say_why_not(root, "j")
    assert "not all trajectories are compressed" in caplog.text
    assert "`trajgen gc --compress`" in caplog.text
    assert (stored(published), content_sha256(published)) == (published, digest)


def test_the_command_shows_and_does_only_what_it_is_asked(root: Root, ledger: Ledger) -> None:
    lease, (published, _) = rolled_out(root, ledger)
    ledger.release(lease, JobState.FINISHED)

    def gc(*options: str) -> Result:
        return CliRunner().invoke(app, ["--root", str(root.path), "gc", *options])

    assert isinstance(gc().exception, ConfigError)
    assert gc("--compress", "--dry-run").output == "j: 2 files of 0.00 MB would be compressed\n"
    assert gc("--compress", "--older-than", "1").output == "nothing to compress\n"
    assert stored(published) == published
    assert gc("--compress").output == "j: 2 files of 0.00 MB are 0.00 MB now\n"
    assert stored(published) == compressed_name(published)
