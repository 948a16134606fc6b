"""A job before two endpoints, at one of which nobody is: it begins with a warning, and no trial is the worse for it."""

import json

import pytest
import yaml

from tests.e2e.conftest import KEY_ENV, Installation
from trajgen_assets.core.exit_codes import EXIT_OK
from trajgen_assets.core.ledger.store import open_ledger
from trajgen_assets.core.report.archive import read_metadata, read_runs
from trajgen_assets.core.scripted import ScriptedModel

pytestmark = [pytest.mark.e2e, pytest.mark.faults]

NOBODY = "http://127.0.0.1:9/v1"


def test_a_job_goes_on_without_an_endpoint_that_is_away(installation: Installation, model: ScriptedModel) -> None:
    config = yaml.safe_load(installation.config.read_text())
    key = f"${{{KEY_ENV}}}"
    config["runtime_info"]["input"]["llm_api"] = {
        "model": "openai/scripted",
        "cooldown_s": 1.0,
        "endpoints": [
            {"name": "away", "api_base_url": NOBODY, "api_key": key, "weight": 5.0},
            {"name": "there", "api_base_url": model.base_url, "api_key": key},
        ],
    }
    installation.config.write_text(yaml.safe_dump(config))
    installation.run("setup", "--skip-environments")
    code, output = installation.run("start", "--limit", "2")
    assert code == EXIT_OK, output
    with open_ledger(installation.root) as ledger:
        [job] = ledger.jobs()
        assert ledger.check_balance().done == 2
    trajectories = installation.root.job(job.name).dir.glob("*/agent/litellm-trajectory.jsonl")
    records = [json.loads(line) for path in trajectories for line in path.read_text().splitlines()]
    assert {(record["upstream"], record["success"]) for record in records} == {("there", True), ("away", False)}
    [run] = read_runs(installation.root).rows
    folder = installation.root.path / run.archive
    said = f"one of 2 endpoints gets no calls as long as it fails: the model endpoint refuses a completion ({NOBODY})"
    assert said in (folder / "session.log").read_text()
    upstream = read_metadata(folder).upstream
    assert upstream is not None
    assert [(each.name, each.api_base_url) for each in upstream.endpoints or ()] == [
        ("away", NOBODY),
        ("there", model.base_url),
    ]
