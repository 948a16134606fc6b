"""A job that a person drains or stops from another terminal, while somebody edits the configuration under it."""

import subprocess

import pytest
import yaml

from tests.e2e.conftest import Installation
from tests.e2e.test_interrupts import PROMPT, a_trial_runs, jobs_of, running_daemon, running_job, status_of
from tests.waiting import wait_until
from trajgen_assets.core.exit_codes import EXIT_INTERRUPTED, EXIT_OK
from trajgen_assets.core.ledger.models import JobRow, JobState
from trajgen_assets.core.ledger.store import open_ledger
from trajgen_assets.core.report.archive import read_runs
from trajgen_assets.core.scripted import Fault, ScriptedModel

pytestmark = pytest.mark.e2e

ENDED_S = 200.0


def causes_of(installation: Installation, job: JobRow) -> list[str | None]:
    with open_ledger(installation.root) as ledger:
        assert ledger.check_balance().running == 0
        return sorted((attempt.cause for _, attempt in ledger.job_attempts(job.name)), key=str)


def n_begun(installation: Installation) -> int:
    return sum(path.read_text().count("agent_started") for path in installation.root.litellm.glob("*/events.jsonl"))


def ended(start: subprocess.Popen[str]) -> str:
    output, _ = start.communicate(timeout=ENDED_S)
    assert start.returncode == EXIT_INTERRUPTED, output
    return output


def test_a_drained_job_ends_what_runs_with_the_configuration_that_it_began_with(
    installation: Installation, model: ScriptedModel
) -> None:
    model.set_fault(Fault.SLOW, match=PROMPT, delay_s=1.5)
    installation.run("setup", "--skip-environments")
    start = installation.begin("start")
    job = running_job(installation)
    wait_until(lambda: n_begun(installation) == 2, limit_s=ENDED_S)
    text = installation.config.read_text()
    installation.config.write_text(text.replace("openai/scripted", "openai/another").replace("t: 2", "t: 1"))
    code, said = installation.run("stop", job.name, "--drain")
    assert (code, "starts no more trials" in said) == (EXIT_OK, True), said
    output = ended(start)
    assert "2 of its 4 tasks were not begun" in output
    assert causes_of(installation, job) == [None, None, "cancelled", "cancelled"]
    (run,) = read_runs(installation.root).rows
    assert (run.status, run.n_accepted) == ("interrupted", 2)
    for folder in (installation.root.path / run.archive, installation.root.job(job.name).dir):
        kept = yaml.safe_load((folder / "config.yaml").read_text())["runtime_info"]["input"]
        assert (kept["llm_api"]["model"], kept["harbor_job"]["n_concurrent"]) == ("openai/scripted", 2)
    assert (installation.root.job(job.name).sft / "receipt.json").exists()


@pytest.mark.faults
def test_a_job_of_a_terminal_is_stopped_at_once_and_leaves_nothing_behind(
    installation: Installation, model: ScriptedModel
) -> None:
    model.set_fault(Fault.SLOW, match=PROMPT, delay_s=60)
    installation.run("setup", "--skip-environments")
    start = installation.begin("start")
    job = running_job(installation)
    wait_until(lambda: n_begun(installation) == 2, limit_s=ENDED_S)
    code, said = installation.run("stop", job.name)
    assert (code, "interrupted at " in said) == (EXIT_OK, True), said
    assert "stopped, as " in ended(start)
    assert causes_of(installation, job) == ["cancelled", "cancelled"]
    assert list(installation.root.sandboxes.glob("*/*")) == []


@pytest.mark.faults
def test_a_job_of_the_daemon_is_stopped_by_the_same_command(
    installation: Installation, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.set_fault(Fault.SLOW, match=PROMPT, delay_s=60)
    with running_daemon(installation, monkeypatch) as instance:
        wait_until(lambda: a_trial_runs(installation), limit_s=ENDED_S)
        (job,) = jobs_of(installation)
        command = [*installation.command("stop", job.name)]
        said = subprocess.run(command, env=installation.environ(), capture_output=True, text=True, check=True).stdout
        assert "interrupted at " in said
        wait_until(lambda: status_of(instance, job).value == "FAILURE", limit_s=ENDED_S)
        with open_ledger(installation.root) as ledger:
            assert ledger.job(job.name).state is JobState.INTERRUPTED
