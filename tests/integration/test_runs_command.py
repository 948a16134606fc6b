"""`trajgen runs`, `runs show` and `status` as a user sees them, over an archive made by the real code."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.configuration import config_text
from trajgen_assets.cli.main import app, exit_code_of
from trajgen_assets.core.config.load import load_config
from trajgen_assets.core.errors import EndpointError, UnknownNameError
from trajgen_assets.core.exit_codes import EXIT_FAILED, EXIT_USAGE
from trajgen_assets.core.keys import MAIN_CAMPAIGN
from trajgen_assets.core.ledger import Batch, JobState, ListedTask, ManifestSeen, create_ledger, open_ledger
from trajgen_assets.core.paths import Root
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.report.archive import archived
from trajgen_assets.core.report.archive import opened as open_entries

DATASET = "py-cc"


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    """A root in which one run was completed and two were refused by one outage."""
    root = Root(tmp_path / "root")
    create_ledger(root)
    source = tmp_path / DATASET
    source.mkdir()
    (source / "verifiable_tasks.txt").write_text("a\nb\nc\n")
    config = root.path / "config.yaml"
    config.write_text(config_text(source, harbor_job={"environment": "local"}))
    with open_ledger(root) as ledger:
        listed = [ListedTask(task_id, f"digest of {task_id}", True) for task_id in ("a", "b", "c")]
        ledger.register(MAIN_CAMPAIGN, DATASET, listed, ManifestSeen("m", "0", 3))
        made = Platform(root, load_config(config), ledger)
        ledger.assign("py-cc-first", Batch(MAIN_CAMPAIGN, DATASET, limit=1))
        with archived(made, job="py-cc-first", owner="run-id") as entry:
            ledger.release(ledger.claim("py-cc-first", "run-id", ttl_s=60), JobState.FINISHED)
            entry.status, entry.exit_code = "completed", 0
        for job in ("py-cc-second", "py-cc-third"):
            with pytest.raises(EndpointError):
                refused(made, job)
        yield made


def refused(platform: Platform, job: str) -> None:
    platform.ledger.assign(job, Batch(MAIN_CAMPAIGN, DATASET, limit=1))
    with archived(platform, job=job, owner="run-id") as entry:
        entry.status, entry.exit_code, entry.outage = "refused", 3, "py-cc since 1"
        platform.ledger.withdraw(job, note="refused")
        raise EndpointError("the model endpoint is out of reach")


def trajgen(platform: Platform, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["--root", str(platform.root.path), *arguments])


def test_runs_are_listed_newest_last_and_chosen_by_their_end(platform: Platform) -> None:
    lines = trajgen(platform, "runs").stdout.splitlines()
    assert lines[0].split() == ["run", "job", "status", "began", "took", "tasks", "accepted", "reward", "cost"]
    assert [line.split()[:3] for line in lines[1:]] == [
        ["run_001", "py-cc-first", "completed"],
        ["run_002", "py-cc-third", "refused"],
    ]
    assert "refused (2 runs)" in lines[2]
    (only,) = trajgen(platform, "runs", "--status", "refused", "--json").stdout.splitlines()
    assert (json.loads(only)["id"], json.loads(only)["n_runs"]) == ("run_002", 2)
    assert "no run ended as interrupted" in trajgen(platform, "runs", "--status", "interrupted").stdout


@pytest.mark.parametrize("name", ["run_002", "2", "py-cc-third"])
def test_a_run_is_shown_with_its_account_and_where_its_files_lie(platform: Platform, name: str) -> None:
    output = trajgen(platform, "runs", "show", name).stdout
    assert "# run_002: refused" in output
    assert "One outage refused 2 runs" in output
    assert f"trajgen --root {platform.root.path} dryrun" in output
    assert "driver: Dagster run run-id, exit code 3" in output
    assert "schema_version" not in output  # a program asks for --json
    assert json.loads(trajgen(platform, "runs", "show", name, "--json").stdout)["schema_version"] == 2
    assert f"archive: {platform.root.archives / 'run_002'}" in output


def test_a_wrong_name_is_answered_with_the_nearest(platform: Platform) -> None:
    result = trajgen(platform, "runs", "show", "py-cc-frist")
    assert isinstance(result.exception, UnknownNameError)
    assert exit_code_of(result.exception) == EXIT_USAGE
    assert str(result.exception) == (
        "there is no such run (py-cc-frist): the nearest is py-cc-first. Mend: `trajgen runs` lists them"
    )


def test_listing_files_what_a_dead_driver_left_and_mends_the_index_and_says_so(platform: Platform) -> None:
    platform.ledger.assign("py-cc-fourth", Batch(MAIN_CAMPAIGN, DATASET, limit=1))
    platform.ledger.withdraw("py-cc-fourth", note="enough")
    open_entries.begin(platform.root, job="py-cc-fourth", owner="gone").let_go()
    platform.root.index.write_text("garbage\n")
    result = trajgen(platform, "runs")
    assert "archived job py-cc-fourth as run_003" in result.stderr
    assert "run_003" in result.stdout
    assert trajgen(platform, "runs").stderr == ""


def test_an_account_that_listing_makes_holds_nothing_of_secrets_env(platform: Platform) -> None:
    secrets = platform.root.path / "secrets.env"
    secrets.write_text("NOBODY_NAMES=canary-in-a-note-01\n")
    secrets.chmod(0o600)
    platform.ledger.assign("py-cc-fourth", Batch(MAIN_CAMPAIGN, DATASET, limit=1))
    platform.ledger.withdraw("py-cc-fourth", note="refused canary-in-a-note-01")
    open_entries.begin(platform.root, job="py-cc-fourth", owner="gone").let_go()
    output = trajgen(platform, "runs", "show", "py-cc-fourth").stdout
    assert "refused <redacted:" in output
    assert "canary" not in output
    assert not any(b"canary" in path.read_bytes() for path in platform.root.archives.rglob("*") if path.is_file())


def test_status_ends_with_one_where_a_person_is_needed(platform: Platform) -> None:
    result = trajgen(platform, "status")
    assert (result.exit_code, "next: 3 tasks are free: `trajgen start`" in result.stdout) == (0, True)
    platform.config.source(DATASET).manifest.unlink()
    result = trajgen(platform, "status")
    assert result.exit_code == EXIT_FAILED
    assert "error: there is no manifest of py-cc" in result.stdout
    said = json.loads(trajgen(platform, "status", "--json").stdout)
    assert (said["phase"], said["blockers"][0]["severity"]) == ("blocked", "error")
